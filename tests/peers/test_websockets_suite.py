"""The asyncio tests of `websockets` pass with the shim's connection, registered and not registered.

The source distributions have no asyncio tests. Debian's sources have them; the shim works with that version
of the library, too.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.peers.sdists import SuiteRun, debian_source, distribution, run_suite

pytestmark = [pytest.mark.real, pytest.mark.timeout(700)]

VERSION = "15.0.1"
FILES = ("server", "client", "router")
MODES: dict[str, dict[str, str]] = {"unregistered": {}, "registered": {"SHIM_REGISTERS": "1"}}
Runs = dict[str, Future[SuiteRun]]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """Both at once: they mostly wait."""
    with ThreadPoolExecutor(len(MODES)) as pool:
        yield {mode: pool.submit(_run, **environment) for mode, environment in MODES.items()}


def _run(**environment: str) -> SuiteRun:
    folder = debian_source("python-websockets", f"{VERSION}-1", "trixie")
    library = distribution("websockets", VERSION)
    # The tests' own times are some milliseconds.
    environment["WEBSOCKETS_TESTS_TIMEOUT_FACTOR"] = "20"
    files = [f"tests/asyncio/test_{name}.py" for name in FILES]
    libraries = [folder, library]
    return run_suite(
        folder, "websockets_peers", *files, environment=environment, libraries=libraries
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_asyncio_tests_of_websockets(runs: Runs, mode: str) -> None:
    suite = runs[mode].result()
    assert suite.failed == set(), suite.output
    assert suite.passed > 110
