"""What can go wrong in a monitor: each call of the contract, and each way to break it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shim.model import Close, Confirm, Connection, Decision, Kind, Pings, Pulse, Stage, Terminate
from shim.router import Tracked
from tests.router.faulty_monitor import CALLS, Fault, answers, raises
from tests.router.helpers import RecordingPort, World


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no name")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no picture")


class Plain:
    """Nothing of a monitor."""


class SlyPulse(Pulse):
    """Plugin code in the per-message path."""

    last_seen = property(lambda self: 0, lambda self, at: None)


class GuardedPulse(Pulse):
    """The times are plain slots, yet every store runs plugin code."""

    def __init__(self) -> None:
        object.__setattr__(self, "last_seen", 0)
        object.__setattr__(self, "last_data", 0)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError("hands off")


class EmptyPulse(Pulse):
    def __init__(self) -> None:
        pass


def text_pulse() -> Pulse:
    pulse = Pulse(0)
    pulse.last_data = "yesterday"  # type: ignore[assignment]
    return pulse


def stolen_pulse() -> Pulse:
    pulse = Pulse(0)
    pulse.owner = Tracked(
        Connection("another", Kind.APP, "u", "s", "p"),
        order=1,
        port=RecordingPort(int),
        stage=Stage.LIVE,
        acting=None,
        now=0,
    )
    return pulse


def failing_iterator() -> Iterator[Pings]:
    yield Pings([])
    raise RuntimeError("in the middle")


def decision(at: Any) -> Decision:
    return Decision("c1", at, 0, 0, (Terminate(),))


def instead(make: Callable[[], Any]) -> Fault:
    """The call is done, and answered with something else."""

    def fault(real: Callable[[], Any]) -> Any:
        real()
        return make()

    return fault


@dataclass
class Bad:
    """One way to break the contract: in which call, by what."""

    call: str
    what: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.call}-{self.what}"


ERRORS: dict[str, BaseException | type[BaseException]] = {
    "ValueError": ValueError("no"),
    "SystemExit": SystemExit(3),
    "StopIteration": StopIteration(),
    "GeneratorExit": GeneratorExit(),
    "RecursionError": RecursionError("deep"),
    "MemoryError": MemoryError(),
    "BaseException": BaseException("all"),
}
BAD = [
    *(Bad(call, name, raises(error)) for call in CALLS for name, error in ERRORS.items()),
    *(Bad(call, "unspeakable", raises(Unspeakable())) for call in CALLS),
    Bad("create", "None", answers(None)),
    Bad("create", "Plain", lambda real: Plain()),
    Bad("register", "None", answers(None)),
    Bad("register", "number", answers(42)),
    Bad("register", "type", answers(Pulse)),
    Bad("register", "unprintable", answers(Unprintable())),
    Bad("register", "sly pulse", instead(lambda: SlyPulse(0))),
    Bad("register", "guarded pulse", instead(lambda: GuardedPulse())),
    Bad("register", "empty pulse", instead(lambda: EmptyPulse())),
    Bad("register", "text pulse", instead(lambda: text_pulse())),
    *(
        Bad(call, what, answers(value))
        for call in ("wake", "confirmed")
        for what, value in (
            ("None", None),
            ("number", 42),
            ("text", "text"),
            ("list of None", [None]),
            ("unprintable", [Unprintable()]),
            ("class", [Pings]),
            ("ping for nobody", [Pings([Pulse(0)])]),
            ("ping for None", [Pings([None])]),  # type: ignore[list-item]
            ("ping for a list", [Pings([[]])]),  # type: ignore[list-item]
            ("ping for an empty pulse", [Pings([EmptyPulse()])]),
            ("ping for a stolen pulse", [Pings([stolen_pulse()])]),
            ("pings for None", [Pings(None)]),  # type: ignore[arg-type]
            ("decision for nobody", [Decision("nobody", 0, 0, 0, (Terminate(),))]),
            ("decision of another time", [decision(at=-1)]),
            ("decision without time", [decision(at=None)]),
            ("effect", [Close(1001, "", 0)]),
            ("confirm of nobody", [Confirm("nobody")]),
        )
    ),
    Bad("wake", "failing iterator", lambda real: failing_iterator()),
    Bad("confirmed", "failing iterator", lambda real: failing_iterator()),
    Bad("confirmed", "confirm", answers([Confirm("c1")])),
    Bad("next_wake", "never", answers(None)),
    Bad("next_wake", "text", answers("soon")),
    Bad("next_wake", "fraction", answers(1.5)),
    Bad("next_wake", "nan", answers(float("nan"))),
    Bad("next_wake", "bool", answers(True)),
    Bad("next_wake", "past", answers(-1)),
    Bad("next_wake", "zero", answers(0)),
    Bad("next_wake", "far past", answers(-(10**30))),
    Bad("next_wake", "far future", answers(10**30)),
    Bad("next_wake", "unprintable", answers(Unprintable())),
]


def now_decision(world: World, effects: Any) -> Fault:
    """A decision on c1 with everything right but the effects."""
    return lambda real: [Decision("c1", world.now, world.now, 0, effects)]
