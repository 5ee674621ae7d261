"""R16: which trial is judged, which rows belong to it, and that asking in between changes nothing."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.flags.deciding import deciding_text
from shim.flags.targeting import Percentages, Targeting
from shim.gate.answer import GateVerdict, Standing
from shim.gate.evidence import Evidence, StandingReady
from shim.gate.judge import judge
from shim.gate.observed_rows import ObservedRows
from shim.ledger.gate_evidence import GateEvidence, gate_evidence
from shim.ledger.rows import ActionRow, BrakeRow, FailureRow, ProofRow, Row, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.ledger.stores import read_ledger
from shim.model import Kind, Return, Role, VerdictKind, VerdictName
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.promotion_settings import PromotionSettings
from shim.settings.sections import GateSettings
from shim.settings.settings import Settings, load_settings
from shim.simulate.scenario import load_scenario
from shim.simulate.simulation_run import SimulationRun
from tests.gate.evidence import condition
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    Wall,
    coverage,
    flags_load,
    ledger,
    mismatch,
    run,
    settled_action,
    verdict,
)
from tests.simulate.helpers import EXAMPLES, TYPES

MINUTE = 60 * S
HOUR = 3600 * S
DEFAULTS: Settings = load_settings(None, monitor_types(plugin_manager()))


def process(started_at: int, monitors: str = "monitors", comparison: str = "comparison") -> RunRow:
    return run(started_at, monitors=monitors, comparison=comparison)


def widths(live: int, shadow: int) -> str:
    return deciding_text(Targeting("f", "s", percent=Percentages(live=live, shadow=shadow)))


HALF = widths(50, 50)
EVERYBODY_LIVE = widths(100, 0)


@contextmanager
def wrote(path: Path, process: RunRow, *rows: Row, until: int) -> Iterator[SqliteLedger]:
    """A process that wrote these rows, and stops at `until`."""
    wall = Wall(until)
    with ledger(path, process, wall=wall) as writer:
        for row in rows:
            writer.append(row)
        assert writer.flush(30)
        yield writer


def write(path: Path, process: RunRow, *rows: Row, until: int) -> None:
    with wrote(path, process, *rows, until=until):
        pass


def ask(path: Path, now: int, settings: Settings = DEFAULTS) -> Evidence:
    return gate_evidence(SqliteReader(path), settings, now)


def at(time: int) -> int:
    """`number` of a row at this time."""
    return (time - NOW) // S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shim.db"


# -- Which trial -----------------------------------------------------------------------------------


def test_without_a_process_there_is_no_trial(path: Path) -> None:
    write(path, run(NOW), until=NOW + DAY)  # a shim of before trials
    evidence = ask(path, NOW + DAY)
    assert (evidence.trial, evidence.kinds, evidence.span) == (None, (), 0)
    assert judge(evidence, DEFAULTS.gate).verdict is GateVerdict.INSUFFICIENT


def test_a_trial_goes_on_over_restarts(path: Path) -> None:
    for day in range(3):
        begun = NOW + day * DAY
        rows = [verdict(at(begun) + 60), coverage(at(begun))]
        write(path, process(begun), *rows, until=begun + DAY - HOUR)
    evidence = ask(path, NOW + 3 * DAY)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.until) == (NOW, None)
    assert [span.run for span in evidence.trial.spans] == [1, 2, 3]
    assert evidence.kinds[0].matched == 3


@pytest.mark.parametrize(
    ("changed", "began_by"),
    [
        (process(NOW + DAY, monitors="others"), "monitors"),
        (process(NOW + DAY, comparison="another"), "comparison"),
        (process(NOW + DAY, monitors="others", comparison="another"), "monitors, comparison"),
    ],
)
def test_changed_settings_begin_a_trial(path: Path, changed: RunRow, began_by: str) -> None:
    write(path, process(NOW), mismatch(60), coverage(0), until=NOW + HOUR)
    write(path, changed, verdict(at(NOW + DAY) + 60), until=NOW + DAY + HOUR)
    evidence = ask(path, NOW + 2 * DAY)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + DAY, began_by)
    (app,) = evidence.kinds
    assert (app.matched, app.mismatched) == (1, 0)


def test_changed_flags_begin_a_trial_and_changed_overrides_do_not(path: Path) -> None:
    loads = [
        flags_load(0, digest="a", deciding=HALF),
        flags_load(3600, digest="overrides changed", deciding=HALF),
        flags_load(7200, digest="b", problem="not valid"),
    ]
    with wrote(path, process(NOW), *loads, verdict(60), until=NOW + DAY) as writer:
        trial = ask(path, NOW + 3 * HOUR).trial
        assert trial is not None
        assert (trial.since, trial.began_by) == (NOW, "start")
        writer.append(flags_load(4 * 3600, digest="c", deciding=EVERYBODY_LIVE))
        writer.append(mismatch(4 * 3600 + 60))
        assert writer.flush(30)
        evidence = ask(path, NOW + 5 * HOUR)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + 4 * HOUR, "flags")
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(0, 1)]


def test_a_release_of_the_brake_begins_a_trial(path: Path) -> None:
    braked = BrakeRow(True, "false kills", NOW + HOUR, by_itself=True)
    rows = [verdict(60), braked, verdict(3700)]
    with wrote(path, process(NOW), *rows, until=NOW + DAY) as writer:
        evidence = ask(path, NOW + 2 * HOUR)
        assert (evidence.brake, evidence.braked_by_itself) == ("false kills", NOW + HOUR)
        assert evidence.kinds[0].matched == 2
        writer.append(BrakeRow(False, "mended", NOW + 3 * HOUR))
        assert writer.flush(30)
        evidence = ask(path, NOW + 4 * HOUR)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + 3 * HOUR, "brake released")
    assert (evidence.brake, evidence.braked_by_itself, evidence.kinds) == (None, None, ())


def test_processes_of_two_identities_are_no_trial(path: Path) -> None:
    """A deploy is under way; when the last old process has ended, the trial of the new ones begins."""
    watched = [coverage(60 * minute) for minute in range(120)]
    write(path, process(NOW), *watched, until=NOW + 2 * HOUR)
    new = process(NOW + HOUR, monitors="others")
    write(path, new, verdict(3700), *watched[60:], until=NOW + 9 * HOUR)
    with_both = ask(path, NOW + 90 * MINUTE)
    assert (with_both.trial, with_both.differing) == (None, ("monitors",))
    evidence = ask(path, NOW + 3 * HOUR)
    assert evidence.trial is not None
    assert evidence.trial.since == NOW + 2 * HOUR
    assert [kind.matched for kind in evidence.kinds] == [0]


def test_a_crashed_process_ends_with_the_last_minute_that_it_watched(path: Path) -> None:
    write(path, process(NOW), coverage(0), coverage(60), until=NOW + DAY)
    crash(path)
    later = NOW + 12 * MINUTE
    # Until it is known to be dead, a second one makes a deploy.
    write(path, process(NOW + 3 * MINUTE, monitors="others"), until=NOW + 4 * MINUTE)
    write(path, process(later, monitors="others"), coverage(12 * 60), until=NOW + DAY)
    assert ask(path, NOW + 3 * MINUTE + S).trial is None
    trial = ask(path, NOW + 14 * MINUTE).trial
    assert trial is not None
    assert (trial.since, trial.began_by) == (NOW + 3 * MINUTE, "monitors")


def crash(path: Path) -> None:
    """Nobody wrote that the last process has stopped."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE run SET stopped_at = NULL WHERE id = (SELECT max(id) FROM run)")


def begin(path: Path, run: RunRow) -> None:
    """A process of the fleet begins to write, as one store of all processes would have it."""
    names = run.columns()
    with closing(sqlite3.connect(path)) as database, database:
        statement = f"INSERT INTO run ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        database.execute(statement, run.values())


NOBODY = {"connected": 0, "control_acted": 0, "watched": 0, "pings": 0, "control_users": 0}


def test_a_process_without_connections_is_alive_and_its_record_is_complete(path: Path) -> None:
    """At night nobody is connected; the process is no ended one, which would end the deploy."""
    minutes = range(0, 8 * 3600, 60)
    night = [coverage(second, **NOBODY) for second in minutes]
    with wrote(path, process(NOW), *night, until=NOW + DAY):
        evidence = ask(path, NOW + 8 * HOUR)
        assert evidence.complete_until == NOW + 8 * HOUR
        assert evidence.watched == 8 * HOUR - MINUTE
        assert (evidence.kinds, evidence.days_acted) == ((), (False,))
        assert condition(judge(evidence, DEFAULTS.gate), "record").standing is Standing.MET
        # A process of another identity has just begun: a deploy is under way.
        begun = NOW + 8 * HOUR - 4 * MINUTE
        begin(path, process(begun, monitors="others"))
        assert ask(path, NOW + 8 * HOUR).trial is None


@pytest.mark.parametrize(("age", "standing"), [(HOUR, Standing.MET), (HOUR + 1, Standing.OPEN)])
def test_a_record_may_be_an_hour_old(path: Path, age: int, standing: Standing) -> None:
    write(path, process(NOW), coverage(0), until=NOW + 60 * S)
    evidence = ask(path, NOW + 60 * S + age)
    assert condition(judge(evidence, DEFAULTS.gate), "record").standing is standing


def test_rows_of_another_identity_are_never_mixed_in(path: Path) -> None:
    """Also not those of a process that was alive in a gap of the trial."""
    rows = [verdict(60), settled_action(60), coverage(0), coverage(60)]
    write(path, process(NOW), *rows, until=NOW + 2 * MINUTE)
    strange = [
        mismatch(at(NOW + DAY) + 60),
        settled_action(at(NOW + DAY) + 61, result=Return.LOST),
        FailureRow(role=Role.CANDIDATE, call="wake", reason="it raised", at=NOW + DAY + MINUTE),
        coverage(at(NOW + DAY), candidate_users=99),
    ]
    write(path, process(NOW + DAY, monitors="others"), *strange, until=NOW + DAY + 2 * MINUTE)
    write(path, process(NOW + 2 * DAY), verdict(at(NOW + 2 * DAY) + 60), until=NOW + 3 * DAY)
    evidence = ask(path, NOW + 3 * DAY)
    assert evidence.trial is not None
    assert evidence.trial.since == NOW + 2 * DAY
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(1, 0)]
    assert evidence.failures == 0
    # The trial in between is about the others alone.
    evidence = ask(path, NOW + DAY + 10 * MINUTE)
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(0, 1)]
    assert evidence.failures == 1


def test_improvements_and_overrides_are_not_compared(path: Path) -> None:
    rows = [
        verdict(60),
        verdict(61, overridden=True),
        mismatch(62, overridden=True),
        mismatch(
            63, kind=VerdictKind.ONLY_CONTROL, first=Role.CONTROL, acting=Role.CANDIDATE
        ),  # life proved the control wrong where the candidate waited
        settled_action(64, placed_by=None, by_percentage=False),
        settled_action(65),
    ]
    write(path, process(NOW), *rows, until=NOW + DAY)
    (app,) = ask(path, NOW + DAY).kinds
    assert (app.matched, app.mismatched, app.improvements) == (1, 0, 1)
    assert app.acted[Role.CONTROL] == 2
    assert app.so_far.returns["everybody"][Role.CONTROL].plain == {(1, 1): 1}


def test_users_for_whom_nobody_vouches_are_not_counted(path: Path) -> None:
    nobody: dict[str, Any] = {"overridden": True, "counted": False}
    rows = [
        verdict(60),
        verdict(61, **nobody),
        mismatch(62, **nobody),
        mismatch(63, **nobody, kind=VerdictKind.ONLY_CONTROL, first=Role.CONTROL),
        verdict(64, **nobody, verdict=VerdictName.EXPECTED, rule="known"),
        verdict(65, **nobody, verdict=VerdictName.INCONCLUSIVE, kind=VerdictKind.CLOSED),
        settled_action(66, placed_by=None, by_percentage=False, counted=False),
        settled_action(67),
    ]
    write(path, process(NOW), *rows, until=NOW + DAY)
    (app,) = ask(path, NOW + DAY).kinds
    assert (app.matched, app.mismatched, app.improvements) == (1, 0, 0)
    assert (app.expected, app.inconclusive, app.acting_first) == (0, 0, 0)
    assert app.acted[Role.CONTROL] == 1


def proof_of_life(action: ActionRow, event: int | None) -> ProofRow:
    """The client spoke a second after the action."""
    return ProofRow(
        connection=action.connection,
        connection_kind=action.connection_kind,
        user=action.user,
        session=action.session,
        package=action.package,
        role=action.role,
        at=action.acted_at + S,
        guard_event=event,
    )


def test_the_proofs_of_an_event_of_the_guard_are_one_observation(path: Path) -> None:
    """R6b; also an event that is read bit by bit, and a number that another process uses, too."""
    actions = [settled_action(600 * number, role=Role.CANDIDATE) for number in range(6)]
    proofs = [proof_of_life(action, 1) for action in actions[:4]]
    with wrote(path, process(NOW), *actions[:3], *proofs[:3], until=NOW + 4 * HOUR) as writer:
        kept = GateEvidence(SqliteReader(path), DEFAULTS)
        assert kept.read(NOW + 1700 * S).kinds[0].so_far.proofs.plain == {(1, 1): 1}
        for row in [*actions[3:], *proofs[3:], proof_of_life(actions[4], None)]:
            writer.append(row)
        assert writer.flush(30)
        (app,) = kept.read(NOW + 3 * HOUR).kinds
        assert app.so_far.proofs.plain == {(1, 1): 2, (0, 1): 1}
        assert app.proofs_of_life[Role.CANDIDATE] == 5
    begun = NOW + 5 * HOUR
    action = settled_action(at(begun), role=Role.CANDIDATE)
    write(path, process(begun), action, proof_of_life(action, 1), until=begun + HOUR)
    (app,) = ask(path, begun + HOUR).kinds
    assert app.so_far.proofs.plain == {(1, 1): 3, (0, 1): 1}


# -- Attempts --------------------------------------------------------------------------------------


def both_sides(begun: int, until: int, control: int = 50, candidate: int = 50) -> list[Row]:
    return [
        coverage(
            at(time),
            control_acted=control * 60 * S,
            candidate_acted=candidate * 60 * S,
            control_users=control,
            candidate_users=candidate,
            watched=6000 * S,
            pings=400,
        )
        for time in range(begun, until - MINUTE, HOUR)
    ]


PLAN = ((10, 90, 2 * HOUR), (50, 50, 6 * HOUR), (90, 10, HOUR))
"""The steps of a plan: live, shadow, soak."""


@pytest.mark.parametrize(
    ("lasted", "users", "live", "attempt"),
    [
        (2 * DAY, (50, 50), None, 2),
        (2 * DAY, (90, 10), None, 1),
        (DAY // 2, (50, 50), None, 1),
        (6 * HOUR, (50, 50), 50, 2),
        (5 * HOUR, (50, 50), 50, 1),
        (6 * HOUR, (50, 50), 60, 2),
        (5 * HOUR, (50, 50), 60, 1),
        (DAY // 2, (50, 50), 5, 1),
    ],
    ids=[
        "a unit",
        "one side has too few",
        "no plan",
        "as long as the soak of its step",
        "longer than the shortest soak only",
        "between two steps",
        "between two steps, short",
        "before the first step",
    ],
)
def test_which_attempt_a_trial_is(
    path: Path, lasted: int, users: tuple[int, int], live: int | None, attempt: int
) -> None:
    rows: list[Row] = both_sides(NOW, NOW + lasted, *users)
    chosen = DEFAULTS
    if live is not None:
        rows.insert(0, flags_load(0, deciding=widths(live, 100 - live)))
        steps = [
            {"percent": {"live": live, "shadow": shadow}, "soak": f"{soak // HOUR}h"}
            for live, shadow, soak in PLAN
        ]
        promotion = PromotionSettings.model_validate({"steps": steps})
        chosen = DEFAULTS.model_copy(update={"promotion": promotion})
    write(path, process(NOW), *rows, until=NOW + lasted)
    write(path, process(NOW + lasted, monitors="others"), until=NOW + 4 * DAY)
    assert ask(path, NOW + lasted + 4 * MINUTE, chosen).attempt == attempt


def test_attempts_are_forgotten_after_90_days(path: Path) -> None:
    write(path, process(NOW), *both_sides(NOW, NOW + 2 * DAY), until=NOW + 2 * DAY)
    write(path, process(NOW + 2 * DAY, monitors="others"), until=NOW + 100 * DAY)
    assert ask(path, NOW + 92 * DAY - S).attempt == 2
    assert ask(path, NOW + 92 * DAY + S).attempt == 1


# -- A standing `ready` ----------------------------------------------------------------------------

EASY = DEFAULTS.model_copy(
    update={
        "gate": GateSettings.model_validate(
            {
                "period": "2d",
                "min_users": 5,
                "min_timeouts": 5,
                "min_agreement": 0.5,
                "return_margin": 0.9,
                "max_proofs": 0.5,
            }
        )
    }
)
"""A gate that a hundred users and two days convince."""


def convincing(begun: int, until: int) -> list[Row]:
    rows: list[Row] = both_sides(begun, until)
    for number in range(160):
        second = at(begun) + number * 600
        if NOW + second * S > until - HOUR:
            break
        rows.append(verdict(second))
        role = Role.CONTROL if number % 2 else Role.CANDIDATE
        rows.append(settled_action(second, role=role))
    return rows


def ramped(path: Path, *later: Row, deciding: str = EVERYBODY_LIVE) -> SqliteReader:
    """Two convincing days at 50 : 50, then another flags file, and a day of coverage."""
    changed = NOW + 2 * DAY + HOUR
    rows = [
        flags_load(0, digest="a", deciding=HALF),
        *convincing(NOW, changed),
        flags_load(at(changed), digest="b", deciding=deciding),
        *later,
        *(coverage(at(changed) + 60 * minute) for minute in range(60)),
    ]
    write(path, process(NOW), *rows, until=changed + DAY)
    return SqliteReader(path)


def answer_after(path: Path, now: int = NOW + 2 * DAY + 2 * HOUR) -> GateVerdict:
    return judge(ask(path, now, EASY), EASY.gate).verdict


def test_a_ready_stands_after_widths_grew(path: Path) -> None:
    ramped(path)
    changed = NOW + 2 * DAY + HOUR
    assert judge(ask(path, changed - S, EASY), EASY.gate).verdict is GateVerdict.READY
    evidence = ask(path, changed + HOUR, EASY)
    assert evidence.trial is not None
    assert evidence.trial.since == changed
    assert evidence.standing == StandingReady(NOW, changed)
    assert answer_after(path) is GateVerdict.READY


def test_a_ready_does_not_stand_after_widths_shrank(path: Path) -> None:
    ramped(path, deciding=widths(40, 50))
    assert ask(path, NOW + 2 * DAY + 2 * HOUR, EASY).standing is None
    assert answer_after(path) is GateVerdict.INSUFFICIENT


def test_a_ready_does_not_stand_while_the_brake_is_engaged_nor_after_that(path: Path) -> None:
    changed = NOW + 2 * DAY + HOUR
    ramped(path, BrakeRow(True, "by hand", changed + 10 * MINUTE))
    assert answer_after(path) is not GateVerdict.READY
    with wrote(path, process(changed + HOUR), until=changed + DAY) as writer:
        writer.append(BrakeRow(False, "mended", changed + 70 * MINUTE))
        assert writer.flush(30)
        assert ask(path, changed + 80 * MINUTE, EASY).standing is None


def test_a_ready_stands_for_30_days(path: Path) -> None:
    changed = NOW + 2 * DAY + HOUR
    ramped(path, coverage(at(changed + 30 * DAY) - 120))
    assert ask(path, changed + 30 * DAY - S, EASY).standing is not None
    assert ask(path, changed + 30 * DAY, EASY).standing is None


def test_an_earlier_trial_needs_what_its_own_attempt_needs(path: Path) -> None:
    """A trial that was not `ready` as the second attempt does not become so afterwards."""
    many = 40
    for number in range(many):
        begun = NOW - (many - number) * 2 * DAY
        rows = both_sides(begun, begun + 2 * DAY - HOUR)
        write(path, process(begun, monitors=f"m{number}"), *rows, until=begun + 2 * DAY - HOUR)
    ramped(path)
    evidence = ask(path, NOW + 2 * DAY + HOUR - S, EASY)
    assert evidence.attempt == many + 1
    now = judge(evidence, EASY.gate).verdict
    later = ask(path, NOW + 2 * DAY + 2 * HOUR, EASY).standing
    assert (now is GateVerdict.READY) == (later is not None)


# -- Asking in between -----------------------------------------------------------------------------

USERS = [f"u{number}" for number in range(30)]
SPAN = 4 * DAY


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Row]]:
    """Rows with the times at which they are written, in that order; a crowd now and then."""
    rows: list[tuple[int, Row]] = []
    for number in range(draw(st.integers(0, 25))):
        when = draw(st.integers(0, SPAN // S - 200))
        users = draw(st.sampled_from([1, 1, 1, 25]))
        for place in range(users):
            about: dict[str, Any] = {
                "connection": f"c{number}.{place}",
                "user": USERS[place] if users > 1 else draw(st.sampled_from(USERS)),
            }
            second = when + place
            matched = draw(st.booleans()) if users == 1 else bool(place % 3)
            acting = draw(st.sampled_from(Role)) if users == 1 else Role.CONTROL
            found = (verdict if matched else mismatch)(second, acting=acting, **about)
            result = Return.RETURNED if matched else Return.LOST
            action = settled_action(second, role=acting, result=result, **about)
            assert action.window_ends is not None
            rows += [(found.at, found), (action.window_ends, action)]
            if acting is Role.CANDIDATE and draw(st.booleans()):
                event = draw(st.sampled_from([None, 1, 2]))
                proof = proof_of_life(action, event)
                rows.append((proof.at, proof))
    for second in draw(st.lists(st.integers(0, SPAN // S - 200), max_size=3)):
        when = NOW + second * S
        rows.append((when, FailureRow(role=Role.CANDIDATE, call="wake", reason="it", at=when)))
    return rows


WATCHED = [
    coverage(60 * minute, candidate_users=minute % 3 * 10) for minute in range(0, SPAN // MINUTE, 7)
]


def outcome_known(second: int, role: Role) -> tuple[int, Row]:
    """An action whose window ends so many seconds after NOW."""
    action = settled_action(second - 120, role=role)
    assert action.window_ends is not None
    return action.window_ends, action


AFTER_MIDNIGHT = DAY // S - NOW // S % (DAY // S) + 240
"""So many seconds after NOW the first UTC day is decided: its rows are here and settled (R16)."""


SHORT = DEFAULTS.model_copy(
    update={"gate": GateSettings.model_validate({"period": "1d", "unit": "6h"})}
)


@settings(max_examples=15, deadline=None)
@example(
    # The candidate's first outcome comes when the first day is decided.
    history=[
        outcome_known(120, Role.CONTROL),
        outcome_known(AFTER_MIDNIGHT - 179, Role.CANDIDATE),
    ],
    times=[AFTER_MIDNIGHT, AFTER_MIDNIGHT + 1],
)
@given(
    history=histories(),
    times=st.lists(st.integers(0, SPAN // S), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_an_answer_does_not_depend_on_when_somebody_asked_before(
    history: list[tuple[int, Row]], times: list[int]
) -> None:
    """Asked while the ledger is written, asked anew at that time, and asked afterwards about that time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shim.db"
        asked: list[Evidence] = []
        with ledger(path, process(NOW), wall=Wall(NOW + 2 * SPAN)) as writer:
            kept = GateEvidence(SqliteReader(path), SHORT)
            watched = [(row.at, row) for row in WATCHED]
            waiting = iter(sorted([*history, *watched], key=itemgetter(0)))
            following = next(waiting, None)
            for time in times:
                now = NOW + time * S
                while following is not None and following[0] <= now:
                    writer.append(following[1])
                    following = next(waiting, None)
                assert writer.flush(30)
                asked.append(kept.read(now))
                assert asked[-1] == ask(path, now, SHORT)
            for row in [] if following is None else [following[1]]:
                writer.append(row)
            for _, row in waiting:
                writer.append(row)
            assert writer.flush(30)
        for then in asked:
            assert ask(path, then.now, SHORT) == then
            assert judge(ask(path, then.now, SHORT), SHORT.gate) == judge(then, SHORT.gate)


class CountingReader(SqliteReader):
    """Notes from when on rows are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.since: list[int] = []

    def agreement_rows(
        self, kind: Kind, runs: Iterable[int], since: int, until: int
    ) -> ObservedRows:
        self.since.append(since)
        return super().agreement_rows(kind, runs, since, until)


def test_asked_again_only_what_is_new_is_read(path: Path) -> None:
    with ledger(path, process(NOW), wall=Wall(NOW + DAY)) as writer:
        writer.append(verdict(60))
        writer.append(coverage(60))
        assert writer.flush(30)
        reader = CountingReader(path)
        evidence = GateEvidence(reader, DEFAULTS)
        assert evidence.read(NOW + HOUR).kinds[0].matched == 1
        assert set(reader.since) == {NOW}
        reader.since.clear()
        writer.append(verdict(3600))
        assert writer.flush(30)
        assert evidence.read(NOW + 2 * HOUR).kinds[0].matched == 2
        assert set(reader.since) == {NOW + HOUR - MINUTE}


def test_a_simulated_rollout_is_answered_for_each_day_as_it_was_then() -> None:
    path = EXAMPLES / "close-4000.yaml"
    chosen = load_scenario(path, TYPES).model_copy(update={"users": 150, "days": 8.0})
    answers = []
    with SimulationRun(chosen) as run:
        kept = GateEvidence(read_ledger(run.ledger_url), chosen.settings)
        for now in run.hours():
            if not now % DAY:
                then = chosen.epoch + now
                answers.append((then, judge(kept.read(then), chosen.settings.gate)))
        assert len(answers) == 8
        for then, answer in answers:
            again = gate_evidence(read_ledger(run.ledger_url), chosen.settings, then)
            assert judge(again, chosen.settings.gate) == answer
