"""The asyncio tests of `websockets` pass with the shim's connection, registered and not registered.

The source distributions have no asyncio tests. Debian's sources have them; the shim works with that version
of the library, too.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.peers.sdists import (
    MODES,
    Runs,
    SuiteRun,
    at_once,
    debian_source,
    distribution,
    run_suite,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(700)]

VERSION = "15.0.1"
FILES = ("server", "client", "router")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with at_once({mode: partial(_run, **MODES[mode]) for mode in MODES}) as running:
        yield running


def _run(**environment: str) -> SuiteRun:
    folder = debian_source("python-websockets", f"{VERSION}-1", "trixie")
    library = distribution("websockets", VERSION)
    # The tests' own times are some milliseconds. One of them goes on for ever if the machine is slower.
    environment["WEBSOCKETS_TESTS_TIMEOUT_FACTOR"] = "50"
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
