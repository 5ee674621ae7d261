"""The per-message call, with both monitors watching, against one dict store with a clock read."""

from statistics import median
from time import monotonic, perf_counter_ns

from benchmarks.setting import NullPort, make_router
from shim.model import Connection, Kind, Stage
from shim.runtime.driver import TICKS, clock, ticks

CALLS = 200_000
ROUNDS = 15


def run() -> None:
    router = make_router(clock())
    tracked = router.open(
        Connection("c1", Kind.APP, "u1", "s1", "com.example.app1"),
        NullPort(),
        clock(),
        Stage.SHADOW,
    )
    touch = router.touches(ticks, TICKS)(tracked)
    last_seen: dict[str, float] = {}

    def dict_store() -> None:
        last_seen["c1"] = monotonic()

    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_time(dict_store))
        ours.append(_time(touch))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"touch, both monitors: {median(ours):.0f} ns; one dict store with a clock read: "
        f"{median(theirs):.0f} ns; ratio {ratio:.2f} (goal: at most 2)"
    )


def _time(call: object) -> float:
    assert callable(call)
    started = perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (perf_counter_ns() - started) / CALLS
