"""Would the tests notice? Listed mutations of the rules, each of which some check must kill.

Each is named by its symbol and the kind of change (see `tests.mutants`, which makes them at random). The
mutated module is executed anew in memory; no file is touched. The checks are small captures and
sequences, worked out by hand, that must hold of the source as it is.
"""

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import pytest

import shim
from tests.mutants.loading import MutatedFinder
from tests.mutants.mutation import Mutation, mutations_of, path_of, replaced, swapped
from tests.mutants.rule_checks import CHECKS

ASSIGNMENT = "shim.router.assignment"
COMPARATOR = "shim.compare.comparator"
DECISIONS = "shim.router.decisions"
ENGINE = "shim.replay.replay_engine"
EXPECTED = "shim.compare.expected_rules"
INTEGRAL = "shim.router.time_integral"
MONITORS = "shim.router.role_monitors"
LEGACY = "shim_legacy_global.global_monitor"
OUTCOMES = "shim.compare.outcomes"
PER_SESSION = "shim_per_session.session_monitor"
REQUESTS = "shim.router.requests"
ROUTER = "shim.router.router"
TALLY = "shim.runtime.tally"
TIMERS = "shim.router.timer_queue"
VALIDATION = "shim.router.validation"
ORDER = [
    LEGACY,
    "shim_legacy_global",
    PER_SESSION,
    "shim_per_session",
    COMPARATOR,
    EXPECTED,
    OUTCOMES,
    "shim.compare",
    TIMERS,
    VALIDATION,
    INTEGRAL,
    MONITORS,
    "shim.router.events",
    "shim.router.observer",
    "shim.router.tracked",
    ASSIGNMENT,
    REQUESTS,
    DECISIONS,
    ROUTER,
    "shim.router",
    "shim.runtime.fanout",
    TALLY,
    "shim.replay.result",
    ENGINE,
    "shim.replay",
]
"""The modules that are made anew for a mutation, the imported ones first."""


@dataclass(frozen=True)
class Place:
    """A class or a function in which mutations are listed; where it is renamed, one line changes."""

    module: str
    qualname: str

    def __truediv__(self, method: str) -> "Place":
        return Place(self.module, f"{self.qualname}.{method}")


@dataclass(frozen=True)
class Listed:
    """A rule, and the change of the code that breaks it: `change` is what `tests.mutants` calls it."""

    rule: str
    place: Place
    change: str
    number: int = 1
    find: Callable[[str, str, int], Mutation] | None = None

    def mutation(self) -> Mutation:
        """Raises LookupError if the code has no such place any more: then the list is out of date."""
        module, qualname = self.place.module, self.place.qualname
        if self.find is not None:
            return self.find(module, qualname, self.number)
        address = f"{module}:{qualname or '(module)'}:{self.change}:{self.number}"
        if (found := mutations_of(module).get(address)) is None:
            raise LookupError(f"there is no {address}")
        return found

    def __str__(self) -> str:
        return f"{self.rule}-{self.place.qualname}-{self.change}-{self.number}"


def put(rule: str, place: Place, before: str, after: str, number: int = 1) -> Listed:
    """The `number`-th expression `before` of this function becomes `after`."""

    def find(module: str, qualname: str, number: int) -> Mutation:
        return replaced(module, qualname, before, after, number)

    return Listed(rule, place, f"{before} => {after}", number, find)


_COMPARATOR = Place(COMPARATOR, "Comparator")
_LEGACY = Place(LEGACY, "LegacyGlobalMonitor")
_MONITORS = Place(MONITORS, "RoleMonitors")
_OUTCOMES = Place(OUTCOMES, "Outcomes")
_REPLAY = Place(ENGINE, "Replay")
_ROUTER = Place(ROUTER, "Router")
_RULES = Place(EXPECTED, "ExpectedRules")
_SESSION = Place(PER_SESSION, "PerSessionMonitor")
_TALLY = Place(TALLY, "Tally")
_ASSIGNMENT = Place(ASSIGNMENT, "Assignment")
_DECISIONS = Place(DECISIONS, "Decisions")
_REQUESTS = Place(REQUESTS, "Requests")
MUTATIONS = [
    # The legacy monitor
    Listed("R1", _LEGACY / "_silent", "< to <="),
    Listed("R1", _LEGACY / "wake", "timeouts before pings", 3, swapped),
    Listed("R1", _LEGACY / "_following", "drop right of -"),
    Listed("R1", _LEGACY / "_timeouts", "remove"),
    Listed("R1", _LEGACY / "__init__", "drop left of +", 2),
    Listed("R1", _LEGACY / "register", "Kind.GLASSES to APP"),
    Listed("R1", _LEGACY / "wake", ">= to >", 3),
    # The per-session monitor
    Listed("R2", _SESSION / "wake", "<= to <", 2),
    Listed("R2", _SESSION / "confirmed", "> to >="),
    Listed("R2", _SESSION / "pong", "drop of and", 3),
    Listed("R2", _SESSION / "confirmed", "drop element", 5),
    put("R2", _SESSION / "__init__", "digest * (settings.heartbeat_interval // _GRID) >> 32", "0"),
    Listed("R2", _SESSION / "confirmed", "remove", 4),
    Listed("R2", _SESSION / "_beat_from", "drop left of %"),
    Listed("R2", _SESSION / "wake", "remove", 2),
    Listed("R3", _SESSION / "_pings", "drop filter"),
    Listed("R3", _SESSION / "_pings", "drop of and"),
    Listed("R3b", _SESSION / "wake", "never", 2),
    Listed("R3", _SESSION / "_paused_since", "< to <="),  # "before" is strict
    Listed("R3", _SESSION / "paused", "<= to <"),
    Listed("R3", _SESSION / "paused", "drop element"),
    Listed("R3", _SESSION / "_paused_since", "drop filter"),
    Listed("R3b", _SESSION / "confirmed", "drop of max", 2),
    Listed("R3b", _SESSION / "confirmed", "negate", 3),
    Listed("R3b", Place(PER_SESSION, ""), "constant + 1", 3),  # _PATIENCE
    Listed("R3b", _SESSION / "confirmed", "drop of min"),
    Listed("R3b", _SESSION / "_deadline", "drop of and", 2),
    Listed("R3b", Place(PER_SESSION, "Watch.heard"), "never"),
    # The comparator
    Listed("R8", _COMPARATOR / "decided", "> to >="),
    Listed("R8", _COMPARATOR / "decided", "drop abs"),
    Listed("R10", _COMPARATOR / "expire", "< to <="),
    Listed("R10", _COMPARATOR / "expire", "drop of or", 2),
    put("R10", _COMPARATOR / "expire", "ends", "now", 3),
    Listed("R9", _COMPARATOR / "sign_of_life", "True to False"),
    Listed("R7", _COMPARATOR / "decided", "drop of or"),
    put("R12", _COMPARATOR / "failed", "VerdictKind.ERROR", "VerdictKind.CLOSED"),
    Listed("R12", _COMPARATOR / "failed", "never"),
    Listed("R13", _RULES / "today", "<= to <"),
    Listed("R13", Place(EXPECTED, "ExpectedRule.explains"), "drop of or"),
    # The outcomes
    Listed("R15", _OUTCOMES / "wait", "> to >="),
    Listed("R15", _OUTCOMES / "next_loss", "drop right of +"),
    Listed("R15", _OUTCOMES / "opened", "popleft to pop"),
    Listed("R15", _OUTCOMES / "finish", "drop right of -"),
    # The router
    Listed("R15", _REQUESTS / "wake_due", "remove", 6),
    Listed("R6", _REQUESTS / "_ping", "always", 6),
    Listed("R6", _DECISIONS / "decide", "drop of and", 3),
    put("R4", _ASSIGNMENT / "move", "tracked.last_activity", "now"),
    Listed("R11", _ASSIGNMENT / "move", "remove", 1),
    Listed("R11", _ROUTER / "close", "remove", 7),
    Listed("R12", _ASSIGNMENT / "connection_failed", "remove", 4),
    Listed("R12", _ASSIGNMENT / "_error_verdict", "drop of and"),
    Listed("R14b", _ROUTER / "spoke_after_close", "drop of and", 2),
    Listed("R14b", _ROUTER / "alerted", "remove"),
    put("R14b", _ROUTER / "spoke_after_close", "tracked.closed_by", "None", 2),
    Listed("R14", _TALLY / "_verdict", "drop of and", 2),
    Listed("R14", _TALLY / "_verdict", "is not to is", 2),
    put("R14", _TALLY / "as_dict", "self.informative", "self.verdicts"),
    Listed("R5", Place(MONITORS, ""), "constant + 1", 2),  # STRIKES
    Listed("R16", _MONITORS / "_watches_no_more", "remove", 2),
    Listed("R16", Place(INTEGRAL, "TimeIntegral.leave_out"), "remove", 2),
    put("R16", Place(INTEGRAL, "TimeIntegral.leave_out"), "max(start, self._since)", "end"),
    Listed("R16", _REQUESTS / "_ping", "remove", 9),
    Listed("R16", _REQUESTS / "_ping", "remove", 6),
    put("R5", Place(VALIDATION, "blame"), "KeyboardInterrupt", "(KeyboardInterrupt, SystemExit)"),
    Listed("R5", _MONITORS / "reschedule", "never", 5),
    # The replay
    Listed("R3", _REPLAY / "_within_stall", "<= to <"),
    Listed("R3", _REPLAY / "_begin_stall", "remove", 2),
    Listed("R14b", _REPLAY / "feed", "remove", 9),
    Listed("R14b", _REPLAY / "feed", "remove", 10),
    Listed("end", _REPLAY / "_end", "drop right of +"),
]


@contextmanager
def mutated(mutation: Mutation | None) -> Iterator[None]:
    """Fresh modules, one of them mutated, for as long as it lasts."""
    modules = {name: sys.modules.pop(name, None) for name in ORDER}
    names = dict(vars(shim))
    finders = [] if mutation is None else [MutatedFinder(mutation.module, mutation.code())]
    sys.meta_path[:0] = finders
    try:
        for name in ORDER:
            importlib.import_module(name)
        yield
    finally:
        del sys.meta_path[: len(finders)]
        for name in ORDER:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in modules.items() if module})
        vars(shim).update(names)


class Endless(KeyboardInterrupt):
    """A mutation may keep a loop from ending; the router lets no other exception through."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt what takes more CPU time, in the modules that are mutated and nowhere else.

    An exception out of the blue would leave the lock taken that coverage holds at the moment, and the
    process would hang for ever. A busy machine interrupts nothing.
    """

    def over(signum: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_globals.get("__name__") in ORDER:
            raise Endless

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.01)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_checks_hold_of_the_source_as_it_is(check: Callable[[], None]) -> None:
    with mutated(None):
        check()


@pytest.mark.parametrize("listed", MUTATIONS, ids=str)
def test_a_mutation_is_noticed(listed: Listed) -> None:
    with mutated(listed.mutation()):
        for check in CHECKS:
            try:
                with limited(2):
                    check()
            except (Endless, SystemExit, Exception):
                return
    pytest.fail("no check fails")


def test_no_file_and_no_module_is_changed() -> None:
    before = {name: sys.modules.get(name) for name in ORDER}
    texts = {name: path_of(name).read_text() for name in ORDER}
    with mutated(MUTATIONS[0].mutation()):
        assert sys.modules[LEGACY] is not before[LEGACY]
    assert {name: sys.modules.get(name) for name in ORDER} == before
    assert {name: path_of(name).read_text() for name in ORDER} == texts
