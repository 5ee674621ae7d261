"""The WebSocket tests of uvicorn, Starlette and FastAPI pass with the shim's protocol class."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.peers.sdists import Runs, SuiteRun, at_once, run_suite, sdist

pytestmark = [pytest.mark.real, pytest.mark.timeout(700)]

REGISTERED = {
    "test_send_close_on_server_shutdown": "the disconnect has a reason, too: the service restarts",
    "test_close_resumes_reads_paused_on_an_unconsumed_message": "short messages are read ahead",
    "test_close_gives_up_when_the_peer_never_replies": "the transport is aborted, and not closed",
    "test_shutdown_while_the_close_reply_is_pending": "the drain waits for the reply, in bounded time",
}
"""Tests of uvicorn that a registered connection fails, and what the shim does instead."""

STARLETTE = {
    "test_websocket_headers": "the test client says zstd where that is installed",
    "test_websocket_concurrency_pattern": "a real client has gone when the application closes",
    "test_receive_wrong_message_type": "no server gives a second connect message",
}
"""Tests of Starlette that fail over real sockets, with uvicorn's own class, too."""


UVICORN = ("uvicorn", "asgi_peers", "tests/protocols/test_websocket.py", "-k")
SUITES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "unregistered": ((*UVICORN, "not wsproto"), {}),
    # Without the tests of uvicorn's pings, which end with the registration.
    "registered": ((*UVICORN, "not wsproto and not keepalive"), {"SHIM_REGISTERS": "1"}),
    "starlette": (
        ("starlette", "starlette_peers", "tests/test_websockets.py", "-k", "not trio"),
        {},
    ),
    "fastapi": (
        (
            "fastapi",
            "starlette_peers",
            "tests/test_dependency_after_yield_websockets.py",
            "tests/test_dependency_yield_scope_websockets.py",
            "tests/test_security_websockets.py",
            "tests/test_tutorial/test_websockets",
            "tests/test_ws_dependencies.py",
            "tests/test_ws_router.py",
        ),
        {},
    ),
}


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    suites = {
        name: partial(_run, *arguments, **environment)
        for name, (arguments, environment) in SUITES.items()
    }
    with at_once(suites) as running:
        yield running


def _run(name: str, plugin: str, *arguments: str, **environment: str) -> SuiteRun:
    return run_suite(sdist(name), plugin, *arguments, environment=environment)


def test_uvicorns_own_tests_of_unregistered_connections(runs: Runs) -> None:
    suite = runs["unregistered"].result()
    assert suite.failed == set(), suite.output
    assert suite.passed > 60


def test_uvicorns_own_tests_of_registered_connections(runs: Runs) -> None:
    suite = runs["registered"].result()
    assert suite.failed == set(REGISTERED), suite.output
    assert suite.passed > 60


def test_starlettes_tests_over_real_sockets(runs: Runs) -> None:
    suite = runs["starlette"].result()
    assert suite.failed <= set(STARLETTE), suite.output
    assert suite.passed > 30


def test_fastapis_tests_over_real_sockets(runs: Runs) -> None:
    suite = runs["fastapi"].result()
    assert suite.failed == set(), suite.output
    assert suite.passed > 60
