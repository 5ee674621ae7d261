"""aiohttp's own tests of its WebSocket pass with the shim's WebSocket, registered and not registered."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.peers.sdists import MODES, Runs, SuiteRun, at_once, distribution, run_suite, sdist

pytestmark = [pytest.mark.real, pytest.mark.timeout(700)]

_HEARTBEAT = "the option heartbeat is refused with a ValueError: the monitors ping"
_PRIVATE = (
    "the test puts a mock in the place of a private part of aiohttp's, which the shim replaces"
)

DIFFERENCES = {
    "test_cancel_heartbeat_cancels_pending_heartbeat_reset_handle": _HEARTBEAT,
    "test_flush_heartbeat_reset_returns_early_when_not_needed": _HEARTBEAT,
    "test_heartbeat": _HEARTBEAT,
    "test_heartbeat_connection_closed": _HEARTBEAT,
    "test_heartbeat_failure_ends_receive": _HEARTBEAT,
    "test_heartbeat_no_pong": _HEARTBEAT,
    "test_heartbeat_no_pong_receive_many_messages": _HEARTBEAT,
    "test_heartbeat_no_pong_send_many_messages": _HEARTBEAT,
    "test_heartbeat_reset_coalesces_on_data": _HEARTBEAT,
    "test_heartbeat_timeout": _HEARTBEAT,
    "test_receive_does_not_reset_heartbeat": _HEARTBEAT,
    "test_send_heartbeat_returns_early_when_reset_is_pending": _HEARTBEAT,
    "test_close_after_closing": _PRIVATE,
    "test_close_exc": _PRIVATE,
    "test_receive_close_but_left_open": _PRIVATE,
    "test_receive_closing": _PRIVATE,
    "test_receive_eofstream_in_reader": _PRIVATE,
    "test_receive_exception_in_reader": _PRIVATE,
    "test_receive_timeouterror": _PRIVATE,
}
"""Tests that fail, and why: in none of them is there a crash, a hang or a wrong close code."""

FILES = (
    "test_web_websocket.py",
    "test_web_websocket_functional.py",
    "test_websocket_handshake.py",
    "test_client_ws_functional.py",
)


_OF_THE_CLIENT = "test_client_ws_functional and (no_pong or does_not_timeout)"
"""What the heartbeat of aiohttp's client does without a pong. A busy machine makes that heartbeat 10 to
50 ms late, which is too much for these tests, and the shim has no part in that."""


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with at_once({mode: partial(_run, **MODES[mode]) for mode in MODES}) as running:
        yield running


def _run(**environment: str) -> SuiteRun:
    # Not the folder above, where the source of aiohttp is, without what was compiled.
    folder = sdist("aiohttp") / "tests"
    mock = distribution("pytest-mock", "3.15.1")
    # Without --aiohttp-fast Python's collector runs after each test.
    arguments = ("--aiohttp-fast", "-k", f"not ({_OF_THE_CLIENT})", *FILES)
    return run_suite(folder, "aiohttp_peers", *arguments, environment=environment, libraries=[mock])


@pytest.mark.parametrize("mode", MODES)
def test_aiohttps_own_tests_of_its_websocket(runs: Runs, mode: str) -> None:
    suite = runs[mode].result()
    assert suite.failed == set(DIFFERENCES), suite.output
    assert suite.passed > 170
