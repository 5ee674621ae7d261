"""Compares the outcomes in a fleet's store with what the clients wrote down."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from shim.model.ledger_url import LedgerUrl
from tests.fleet.delay_check import DelayReport, largest_deviation, read_delays
from tests.fleet.returns_oracle import Expected, StoredOutcome, match, possible_outcomes
from tests.fleet.roaming import Log, Times
from tests.fleet.roaming_client import Stay
from tests.postgres.helpers import until_found

_AUDIT = """
CREATE TABLE public.conclusion_made (action bigint, before text, after text);
CREATE FUNCTION public.note_conclusion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.result IS NOT NULL THEN
        INSERT INTO public.conclusion_made VALUES (NEW.id, NULL, NEW.result);
    ELSIF TG_OP = 'UPDATE'
    AND (OLD.result, OLD.delay, OLD.at) IS DISTINCT FROM (NEW.result, NEW.delay, NEW.at) THEN
        INSERT INTO public.conclusion_made VALUES (NEW.id, OLD.result, NEW.result);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_conclusion AFTER INSERT OR UPDATE ON shim.action
FOR EACH ROW EXECUTE FUNCTION public.note_conclusion();
"""

_ELSEWHERE = """
SELECT count(*) FROM action WHERE result = 'returned' AND NOT EXISTS (
    SELECT 1 FROM opening WHERE opening."user" = action."user" AND used
    AND opened_at = acted_at + delay AND opening.run = action.run)
"""

_TWICE = """
SELECT count(*) FROM opening AS first JOIN opening AS second USING (identity)
WHERE first.used AND NOT second.used AND first.run <> second.run
AND abs(first.opened_at - second.opened_at) < 200000
"""
"""Two openings on two processes that a client asked for at once; one has settled an action. Microseconds."""


def audit(store: LedgerUrl) -> None:
    """From now on a table of the test's own says of each action when its outcome was written, and anew."""
    with psycopg.connect(store.url) as connection:
        connection.execute(_AUDIT)


async def wait_until_concluded(store: LedgerUrl) -> None:
    """Wait until the fleet has concluded every action."""
    await until_found(store, "SELECT 1 FROM action WHERE result IS NULL LIMIT 1", [])


@dataclass
class OutcomeReport:
    """What came out.

    Attributes:
        differences: in words; empty if the store says what the clients say.
        doubtful: users of whom the clients' log leaves more than one truth.
        outcomes: how many, by role and result.
        elsewhere: returns to another process than the one that had acted.
        twice: returns to two processes in the same instant, of which one counts.
        delays: of each return.
    """

    differences: list[str] = field(default_factory=list)
    doubtful: int = 0
    outcomes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    elsewhere: int = 0
    twice: int = 0
    delays: DelayReport = field(default_factory=DelayReport)

    @property
    def returns(self) -> int:
        return sum(count for (_, result), count in self.outcomes.items() if result == "returned")

    @property
    def is_complete(self) -> bool:
        """Whether everything has happened that the clients are there for."""
        wanted = {
            (role, result)
            for role in ("control", "candidate")
            for result in ("returned", "replaced", "lost")
        }
        return wanted <= {*self.outcomes} and self.elsewhere > self.returns / 3 and self.twice > 0

    def figures(self) -> dict[str, str]:
        """Names and values, for people."""
        figures = {
            f"{role}: {result}": f"{count:,}"
            for (role, result), count in sorted(self.outcomes.items(), key=str)
        }
        if self.returns:
            figures["returns to another process"] = f"{self.elsewhere / self.returns:.0%}"
            figures["returns to two processes in one instant"] = f"{self.twice:,}, each counts once"
        figures |= self.delays.figures()
        figures["users with more than one possible truth"] = f"{self.doubtful}"
        figures["differences"] = f"{len(self.differences)}"
        return figures


def compare_outcomes(store: LedgerUrl, log: Log, times: Times) -> OutcomeReport:
    """Compare every action of every user.

    The slowest machine makes no difference. How exact the delays are says the report's `delays`.
    """
    report = OutcomeReport()
    found = _read_outcomes(store)
    for user in sorted({*log.stays, *found}):
        stays, rows = log.stays.get(user, []), found.get(user, [])
        report.outcomes.update((row.role, row.result) for row in rows)
        truths = possible_outcomes(stays, times)
        report.doubtful += len({_describe_truth(truth) for truth in truths}) > 1
        in_order = (sorted(truth, key=lambda one: one.action.seen_at) for truth in truths)
        matches = [pairs for truth in in_order if (pairs := match(truth, rows)) is not None]
        if not matches:
            report.differences.append(_describe(user, stays, truths[0], rows))
            continue
        # Where the log allows several truths, the nearest one is compared.
        possible = [read_delays(user, pairs, log.standstills) for pairs in matches]
        report.delays.delays += min(possible, key=largest_deviation)
    _check_conclusions(store, report)
    return report


def _read_outcomes(store: LedgerUrl) -> Mapping[str, list[StoredOutcome]]:
    found: defaultdict[str, list[StoredOutcome]] = defaultdict(list)
    with psycopg.connect(store.url) as connection:
        for user, role, acted_at, result, delay in connection.execute(
            'SELECT "user", role, acted_at, result, delay FROM shim.action ORDER BY acted_at'
        ):
            delayed = None if delay is None else delay / 1e6
            found[user].append(StoredOutcome(role, acted_at / 1e6, result, delayed))
    return found


def _check_conclusions(store: LedgerUrl, report: OutcomeReport) -> None:
    """Each action is concluded once, and each opening settles one."""
    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path = shim, public")
        for action, times in connection.execute(
            "SELECT action, count(*) FROM conclusion_made GROUP BY action HAVING count(*) > 1"
        ):
            report.differences.append(f"action {action} was concluded {times} times")
        (used,) = connection.execute("SELECT count(*) FROM opening WHERE used").fetchone() or (0,)
        if used != report.returns:
            report.differences.append(f"{used} openings settled {report.returns} actions")
        (report.elsewhere,) = connection.execute(_ELSEWHERE).fetchone() or (0,)
        (report.twice,) = connection.execute(_TWICE).fetchone() or (0,)


def _describe_truth(truth: list[Expected]) -> tuple[tuple[float, str], ...]:
    return tuple(sorted((one.action.seen_at, one.result) for one in truth))


def _describe(
    user: str, stays: list[Stay], truth: list[Expected], rows: list[StoredOutcome]
) -> str:
    begin = stays[0].asked_at if stays else 0.0

    def at(time: float | None) -> str:
        return "-" if time is None else f"{time - begin:.3f}"

    lines = [f"{user}, times in seconds since its first connection:"]
    lines += [
        f"  client: open {at(stay.asked_at)} to {at(stay.open_at)}, last sign {at(stay.signs[-1])}, "
        f"{stay.end or 'open'} {at(stay.ended_at)}"
        for stay in stays
    ]
    lines += [
        f"  expected: {one.action.role} at {at(one.action.seen_at)}: {one.result}" for one in truth
    ]
    lines += [
        f"  store: {row.role} at {at(row.acted_at)}: {row.result} {row.delay}" for row in rows
    ]
    return "\n".join(lines)
