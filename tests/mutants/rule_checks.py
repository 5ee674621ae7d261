"""Small captures and sequences, worked out by hand: each check fails where some rule is broken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

S = 1_000_000
Event = dict[str, Any]


def opens(t: float, id: str = "c1", kind: str = "app", package: str = "p1") -> Event:
    who = {"user": "u1", "session": "s1", "kind": kind, "package": package}
    return {"t": t, "event": "open", "connection": id, **who}


def ev(t: float, event: str, id: str = "c1") -> Event:
    return {"t": t, "event": event, "connection": id}


def stall(t: float, duration: float) -> Event:
    return {"t": t, "event": "stall", "duration": duration}


def played(*events: Event, acting: str | None = "control", until: float, **changes: Any) -> Any:
    """A replay with the modules of the moment; `rows`: kind, at, control_at, candidate_at."""
    import msgspec

    from shim.capture.format import Event as Line
    from shim.compare.expected_rules import ExpectedRule, ExpectedRules
    from shim.model import Monitors, Role
    from shim.replay.replay_engine import Replay, ReplaySettings
    from shim_legacy_global import LegacyGlobal, LegacySettings
    from shim_per_session import PerSession, PerSessionSettings

    rules = [ExpectedRule(**rule) for rule in changes.pop("rules", ())]
    day = changes.pop("day", None)
    control = LegacySettings(timeout=changes.pop("control_timeout", 45 * S))
    candidate = PerSessionSettings(timeout=changes.pop("candidate_timeout", 45 * S))
    durations = {"tolerance": 16 * S, "window": 60 * S, "return_window": 120 * S, **changes}
    settings = ReplaySettings(
        Monitors((LegacyGlobal(), control), (PerSession(), candidate)),
        expected=ExpectedRules(rules, day),
        **durations,
    )
    engine = Replay(settings, None if acting is None else Role(acting))
    lines = [*events, {"t": until, "event": "end"}]
    engine.feed(msgspec.json.decode(msgspec.json.encode(line), type=Line) for line in lines)
    assert not engine.result.failures
    answer = engine.result.as_dict()
    keys = ("kind", "at", "control_at", "candidate_at")
    answer["rows"] = [tuple(v[key] for key in keys) for v in answer["verdicts"]]
    answer["counts"] = {
        name: number for name, number in answer["outcomes"]["control"].items() if number
    }
    return answer


def rows(*events: Event, **how: Any) -> Any:
    return played(*events, **how)["rows"]


def check_timeouts() -> None:
    assert rows(opens(0), until=60) == [("both", 60, 60, 45)]
    assert rows(opens(0), until=45) == [("shutdown", 45, None, 45)]
    assert rows(opens(0), ev(45, "message"), until=105) == [("both", 105, 105, 90)]
    assert rows(opens(1), stall(50, 6), until=200) == [("both", 60, 60, 46)]
    # A late tick at 52, the next at 60: not at 67.
    assert rows(opens(8), stall(44, 8), until=200) == [("both", 61, 60, 61)]


def check_skew() -> None:
    assert rows(opens(0), until=99, tolerance=15 * S) == [("both", 60, 60, 45)]
    assert rows(opens(0), until=99, tolerance=15 * S - 1) == [("skewed", 60, 60, 45)]
    assert rows(opens(0), ev(44, "data"), until=300) == [("skewed", 89, 60, 89)]


def check_window() -> None:
    assert rows(opens(0), until=300, window=15 * S) == [("both", 60, 60, 45)]
    late = played(opens(0), until=300, window=10 * S)
    assert late["rows"] == [("only_candidate", 55, None, 45)]
    assert late["summary"]["late"] == 1
    there = played(opens(0), ev(56, "message"), until=56, window=10 * S)
    assert there["rows"] == [("only_candidate", 55, None, 45)]
    # The message at the window's very end comes before it.
    at_end = played(opens(0), ev(55, "message"), until=56, window=10 * S)
    assert [v["recovered"] for v in at_end["verdicts"]] == [True]
    stalled = rows(opens(0), stall(50, 15), ev(52, "message"), until=90, window=10 * S)
    assert stalled == [("only_candidate", 55, None, 45)]


def check_pauses() -> None:
    assert rows(opens(0), stall(40, 12), until=99) == [("both", 57, 52, 57)]
    assert rows(opens(0), stall(40, 5), until=99) == [("both", 60, 60, 45)]
    assert rows(opens(10), stall(10, 50), until=99) == [("both", 60, 60, 60)]
    twice = (stall(10, 6), stall(16, 7))
    assert rows(opens(0), *twice, until=99) == [("both", 60, 60, 58)]
    assert rows(opens(0), *twice, ev(20, "data"), until=99) == [("both", 68, 60, 68)]
    again = played(opens(0), stall(44, 4), ev(48, "message"), until=110, acting="candidate")
    assert again["rows"] == [("only_control", 48, 48, None), ("both", 105, 105, 93)]


def check_outcomes() -> None:
    def counted(*events: Event, until: float, **how: Any) -> Any:
        return played(opens(0), *events, until=until, **how)["counts"]

    assert counted(opens(180, "c2"), until=181) == {"acted": 1, "returned": 1}
    assert counted(opens(180.000001, "c2"), until=181) == {"acted": 1, "lost": 1}
    assert counted(until=180) == {"acted": 1, "lost": 1}
    assert counted(until=179.999999) == {"acted": 1, "censored": 1}
    assert counted(opens(0, "c2"), until=61) == {"acted": 2, "censored": 2}
    assert counted(opens(20, "c2"), until=61) == {"acted": 1, "replaced": 1}
    late = (opens(0), opens(1, "c2"), ev(4, "data"), stall(40, 4.9))
    answer = played(*late, until=500, acting="candidate", candidate_timeout=40 * S)
    assert answer["outcomes"]["candidate"]["lost"] == 2


def check_after_close() -> None:
    summary = played(opens(0), ev(70, "message"), ev(71, "data"), until=80)["summary"]
    assert (summary["after_close"], summary["proof_of_life"]) == (2, 1)


def check_expected() -> None:
    from datetime import date

    day = date(2026, 6, 1)
    rule: Any = {"name": "r", "reason": "", "until": day}
    how: Any = {"until": 99, "tolerance": 1, "day": day}
    assert played(opens(0), rules=[rule], **how)["summary"]["expected"] == 1
    rule["skew"] = (-99 * S, 99 * S)
    answer = played(opens(0), ev(50, "message"), rules=[rule], **how)
    assert answer["summary"]["expected"] == 0


def check_first_of_the_oldest() -> None:
    from shim.compare.outcomes import Outcomes
    from shim.model import Connection, Kind, Role

    @dataclass
    class Opening:
        connection: Connection
        opened_at: int

    outcomes = Outcomes(120 * S)
    two = [Connection(id, Kind.APP, "u", "s", "p") for id in ("c1", "c2")]
    for connection in two:
        outcomes.opened(Opening(connection, 0))
    for number, connection in enumerate(two):
        outcomes.acted(connection, Role.CONTROL, number * S, 0)
    back = outcomes.opened(Opening(Connection("c3", Kind.APP, "u", "s", "p"), 2 * S))
    assert back is not None
    assert back.connection.id == "c1"


def check_legacy() -> None:
    from shim.model import Connection, Kind, Pings
    from shim_legacy_global import LegacyGlobalMonitor, LegacySettings

    machine = LegacyGlobalMonitor(LegacySettings(), 7 * S)
    assert machine.next_wake == 22 * S
    pulses = {
        id: machine.register(Connection(id, kind, "u", "s"), 7 * S, 7 * S)
        for id, kind in (("a", Kind.APP), ("g", Kind.GLASSES))
    }
    pings, *decisions = machine.wake(65 * S)
    assert pings == Pings([pulses["g"], pulses["a"]])
    assert [(type(r).__name__, r.connection_id) for r in decisions] == [  # type: ignore
        ("Decision", "g"),
        ("Decision", "a"),
    ]
    assert machine.next_wake == 67 * S
    assert [type(r).__name__ for r in machine.wake(67 * S)] == ["Note"]


def check_per_session() -> None:
    from shim.model import Confirmation, Connection, Kind, Pings
    from shim_per_session import PerSessionMonitor, PerSessionSettings

    def machine() -> tuple[Any, Any]:
        made = PerSessionMonitor(PerSessionSettings(), "s1", 0)
        return made, made.register(Connection("c1", Kind.APP, "u", "s1"), 0, 0)

    one, pulse = machine()
    first = one.next_wake
    assert 0 < first < 15 * S
    assert one.wake(first) == [Pings([pulse])]
    one.pong("c1", b"other", first + 1)
    assert pulse.round_trip is None
    one.pong("c1", pulse.ping, first + 2)
    assert pulse.round_trip == 2
    pulse.last_seen = 31 * S
    one.wake(first + 31 * S)
    assert one.next_wake == first + 45 * S
    (decision,) = one.confirmed("c1", Confirmation(), 76 * S)
    assert [type(effect).__name__ for effect in decision.effects] == ["Close", "Forget"]
    assert one.next_wake is None
    one, _ = machine()
    assert list(one.confirmed("c1", Confirmation(data_at=5 * S), 45 * S)) == []
    assert len(one.confirmed("c1", Confirmation(data_at=5 * S), 50 * S)) == 1
    one, pulse = machine()
    for at in (45, 60, 75, 90, 105, 120):
        assert [type(r).__name__ for r in one.wake(at * S)][-1] == "Confirm"
        assert list(one.confirmed("c1", Confirmation(unread=True), at * S)) == []
    assert len(one.confirmed("c1", Confirmation(unread=True), 135 * S)) == 1
    one, pulse = machine()
    one.confirmed("c1", Confirmation(unread=True), 80 * S)
    pulse.last_seen = 46 * S
    (decision,) = one.confirmed("c1", Confirmation(), 91 * S)
    assert decision.pings == tuple(first + n * 15 * S for n in (3, 4, 5))
    one, pulse = machine()
    one.paused(first, first + 10 * S)
    one.paused(first + 16 * S, first + 29 * S)
    (decision,) = one.confirmed("c1", Confirmation(), 74 * S)
    assert decision.pings == tuple(first + at * S for at in (10, 15, 30, 45, 60))
    one = PerSessionMonitor(PerSessionSettings(heartbeat_interval=90 * S), "s1", 0)
    pulse = one.register(Connection("c1", Kind.APP, "u", "s1"), 0, 0)
    one.wake(45 * S)
    one.confirmed("c1", Confirmation(unread=True), 45 * S)
    pulse.last_seen = 46 * S
    assert one.next_wake is not None
    assert one.next_wake <= 91 * S


def routed(candidate: Any, stage: Any, kind: str = "app") -> Any:
    """A router of the moment with one connection; `candidate` is the class of its monitor."""
    from shim.compare.comparator import Comparator
    from shim.compare.outcomes import Outcomes
    from shim.model import Confirmation, Connection, Kind, Monitors, Verdict
    from shim.router import Observer, ProofOfLife, Router, handles
    from shim.runtime.fanout import Fanout
    from shim.runtime.tally import Tally
    from shim_legacy_global import LegacyGlobal, LegacySettings
    from shim_per_session import PerSession, PerSessionSettings

    class Port:
        def __init__(self) -> None:
            self.effects: list[str] = []

        def ping(self, payload: bytes) -> None:
            self.effects.append(f"ping {len(payload)}")

        def close(self, close: Any) -> None:
            self.effects.append("close")

        def terminate(self) -> None:
            self.effects.append("terminate")

        def forget(self) -> None:
            self.effects.append("forget")

        def confirm(self) -> Confirmation:
            return Confirmation()

    class Journal(Observer):
        def __init__(self) -> None:
            self.verdicts: list[str] = []
            self.proofs: list[tuple[str, int]] = []

        @handles(Verdict)
        def _verdict(self, verdict: Verdict) -> None:
            self.verdicts.append(f"{verdict.name} {verdict.kind}")

        @handles(ProofOfLife)
        def _proof_of_life(self, proof: ProofOfLife) -> None:
            self.proofs.append((proof.role.value, proof.at))

    class Type(PerSession):
        def create(self, settings: Any, scope_id: str, start: int) -> Any:
            return candidate(settings, scope_id, start)

    port, journal, tally = Port(), Journal(), Tally()
    monitors = Monitors((LegacyGlobal(), LegacySettings()), (Type(), PerSessionSettings()))
    comparator = Comparator(tolerance=16 * S, window=60 * S)
    observer = Fanout([journal, tally])
    router = Router(
        monitors, comparator=comparator, outcomes=Outcomes(S), observer=observer, start=0
    )
    connection = Connection("c1", Kind(kind), "u", "s", "p")
    return router, router.open(connection, port, 0, stage), port, journal, tally


def check_router() -> None:
    from shim.model import Kind, Role, Stage
    from shim_per_session import PerSessionMonitor

    class Broken(PerSessionMonitor):
        def paused(self, start: int, end: int) -> None:
            raise SystemExit(1)

    class Impatient(PerSessionMonitor):
        next_wake = 1

    router, tracked, port, journal, _ = routed(PerSessionMonitor, Stage.SHADOW)
    router.step(45 * S)
    assert port.effects == ["ping 0"]
    router.set_stage(tracked, Stage.LIVE, 45 * S + 1)
    assert journal.verdicts == ["inconclusive handover"]
    assert tracked.candidate.last_seen == 0
    monitors = router.monitors(Role.CANDIDATE)
    assert monitors.pings == {Kind.APP: 1, Kind.GLASSES: 0}
    # Decided upon at 45, watched again a microsecond later.
    assert monitors.watched_until(Kind.APP, 46 * S) == 46 * S - 1
    router.paused(50 * S, 60 * S)
    assert monitors.watched_until(Kind.APP, 62 * S) == 52 * S - 1
    router.close(tracked, 63 * S)
    assert monitors.watched_until(Kind.APP, 99 * S) == 53 * S - 1
    assert monitors.watched_until(Kind.GLASSES, 62 * S) == 0
    router, tracked, port, journal, _ = routed(Broken, Stage.SHADOW)
    monitors = router.monitors(Role.CANDIDATE)
    for strike in (1, 2, 3):
        assert not monitors.quarantined
        router.paused(strike, strike + 1)
    assert monitors.quarantined
    router, tracked, port, journal, _ = routed(Impatient, Stage.SHADOW)
    router.step(2 * S)
    router.step(60 * S)
    assert router.monitors(Role.CANDIDATE).strikes > 0
    assert port.effects == ["ping 0", "terminate"]
    router, _, port, _, _ = routed(PerSessionMonitor, Stage.LIVE, "glasses")
    router.step(15 * S)
    assert router.monitors(Role.CANDIDATE).pings == {Kind.APP: 0, Kind.GLASSES: 1}
    assert port.effects == ["ping 8"]


def check_errors() -> None:
    from shim.compare.comparator import Comparator
    from shim.model import Stage
    from shim_per_session import PerSessionMonitor

    class Deaf(PerSessionMonitor):
        def pong(self, *_: Any) -> None:
            raise ValueError

    router, tracked, _, journal, _ = routed(Deaf, Stage.SHADOW)
    router.pong(tracked, b"", S)
    assert journal.verdicts == ["mismatched error"]
    router, tracked, _, journal, _ = routed(Deaf, Stage.COMPLETE)
    router.pong(tracked, b"", S)
    assert journal.verdicts == []
    comparator = Comparator(tolerance=S, window=S)
    assert comparator.failed(tracked, S) is not None
    assert comparator.failed(tracked, S) is None


def check_evidence() -> None:
    from shim.model import Stage
    from shim_per_session import PerSessionMonitor

    for stage, conclusive, acting in ((Stage.SHADOW, 1, "control"), (Stage.LIVE, 0, "candidate")):
        router, tracked, _, journal, tally = routed(PerSessionMonitor, stage)
        router.step(45 * S)
        router.step(60 * S)
        assert journal.verdicts == ["matched both"]
        assert tally.as_dict()["agreement"]["conclusive"] == conclusive
        router.make_touch(lambda: 61 * S)(tracked)
        router.spoke_after_close(tracked, 62 * S)
        assert journal.proofs == [(acting, 61 * S)]
    router, tracked, _, _, tally = routed(PerSessionMonitor, Stage.LIVE)
    tracked.candidate.last_seen = S  # not the control's: it decides later, and too late to match
    router.step(45 * S)
    router.step(46 * S)
    router.step(120 * S)
    assert tally.as_dict()["verdicts"]["mismatched"] == 1
    assert tally.as_dict()["agreement"]["conclusive"] == 0
    router, tracked, _, _, _ = routed(PerSessionMonitor, Stage.SHADOW)
    router.step(45 * S)
    router.close(tracked, 46 * S)
    router.make_touch(lambda: 47 * S)(tracked)
    assert tracked.candidate_instance is None


CHECKS: list[Callable[[], None]] = [
    check_timeouts,
    check_skew,
    check_window,
    check_pauses,
    check_outcomes,
    check_after_close,
    check_expected,
    check_first_of_the_oldest,
    check_legacy,
    check_per_session,
    check_router,
    check_errors,
    check_evidence,
]
