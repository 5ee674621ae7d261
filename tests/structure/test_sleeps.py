"""No test sleeps and then looks whether something has happened: `tests/waiting.py` waits for it."""

import ast
from pathlib import Path

from tests.structure.sources import ROOT

TESTS = ROOT / "tests"

SLEEPS = {
    "a pause of the process or of its event loop is what is tested": (
        "asgi/test_asgi.py",
        "asgi/test_fastapi_service.py",
        "fleet/test_delays.py",
        "fleet/test_store_clock.py",
        "live/test_driver.py",
        "live/test_pauses.py",
        "live/test_uvloop.py",
    ),
    "a client or a handler with a rhythm of its own": (
        "capture/test_live.py",
        "demo/test_matrix.py",
        "fleet/roaming.py",
        "fleet/roaming_client.py",
        "fleet_faults/crowd.py",
        "ledger/test_live.py",
        "live/aiohttp_service.py",
        "live/test_drain.py",
        "live/test_rollout.py",
        "live/test_slow_readers.py",
    ),
    "a fault, or what one event of the brake is, lasts so long": (
        "fleet/brake_scenario.py",
        "fleet_faults/fault_round.py",
        "fleet_faults/faults.py",
        "fleet_faults/faulty_line.py",
    ),
    "between two looks, with more to do or to say than `tests/waiting.py`": (
        "boards/test_prometheus.py",
        "fleet_faults/troubled_fleet.py",
        "postgres/server.py",
        "waiting.py",
    ),
}


def test_each_sleep_has_its_reason() -> None:
    known = sorted(name for names in SLEEPS.values() for name in names)
    found = sorted(
        path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py") if _sleeps(path)
    )
    assert found == known


def _sleeps(path: Path) -> bool:
    """Whether the file calls `time.sleep` or `asyncio.sleep`, with more than 0 seconds."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "sleep",
            "time.sleep",
            "asyncio.sleep",
        ):
            (seconds,) = node.args
            if ast.unparse(seconds) != "0":
                return True
    return False
