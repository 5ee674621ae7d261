"""How often the gate is wrong about fleets whose truth is known: the table of the README.

`python -m benchmarks.gate_simulation [--seeds 100] [--only WORDS]`. `benchmarks/fleet_rows.py` draws rows
from the stated truths of `benchmarks/fleet_truths.py`. The gate's own record and judge are asked once a
day, six hours after midnight. At the end come exact figures, by recursion.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import log
from statistics import median

import click
import numpy as np
from scipy.stats import binom

from benchmarks.fleet_rows import BEGIN, DAY, FleetRows, RowGenerator
from benchmarks.fleet_truths import ALLOWED, FLEETS, FORBIDDEN, UNKNOWABLE, Fleet
from shim.gate.answer import GateAnswer, GateVerdict
from shim.gate.evidence import Evidence, Heartbeats
from shim.gate.judge import judge
from shim.gate.kind_gate import E_VALUE, wanted_e_value
from shim.gate.kind_record import KindRecord
from shim.gate.question import QuestionTimes
from shim.gate.statistics import log_e_value, log_e_value_below, wilson
from shim.gate.trial import Trial, TrialIdentity, TrialUsers, count_attempts
from shim.model import SECOND, Kind, Role, Time
from shim.settings.sections import GateSettings

WEEK = 7
ASKED_AT = 6 * 3600 * SECOND
TARGETS = GateSettings()


@dataclass
class Found:
    """What the gate said of one fleet; days count from 1."""

    ready: int | None = None
    not_ready: int | None = None


class _TrialRun:
    """One trial of a fleet: its record, and what was counted of it."""

    def __init__(self, fleet: Fleet, day: int) -> None:
        self.fleet = fleet
        self.widths = _widths(fleet, day)
        identity = TrialIdentity("monitors", "comparison", str(day))
        self.trial = Trial(identity, BEGIN + day * DAY, None, "start", ())
        times = QuestionTimes(self.trial.since, TARGETS.period, TARGETS.unit, TARGETS.grain)
        self._record = KindRecord(Kind.APP, times, lambda at, run: fleet.users, self._shares)
        self._agreed = {True: 0, False: 0}
        self._acted = dict.fromkeys(Role, 0)

    def _shares(self, group: str) -> Mapping[Role, float]:
        live = self.widths[group]
        return {Role.CONTROL: 1 - live, Role.CANDIDATE: live}

    def add(self, rows: FleetRows) -> None:
        self._record.add_agreements(rows.agreements)
        self._record.add_returns(rows.returns)
        self._record.add_proofs(rows.proofs)
        for row in rows.agreements:
            self._agreed[row.success] += 1
        for row in rows.returns:
            self._acted[row.arm.role] += 1

    def evidence(self, now: Time, attempt: int) -> Evidence:
        fleet = self.fleet
        kind = replace(
            self._record.observe(now),
            matched=self._agreed[True],
            mismatched=self._agreed[False],
            expected=fleet.expected,
            acted=dict(self._acted),
            heartbeats=(Heartbeats("p", round(10**6 * fleet.pings), 10**6),),
        )
        days = min(-(-(now - self.trial.since) // DAY), TARGETS.period // DAY)
        return Evidence(
            now,
            trial=self.trial,
            attempt=attempt,
            days_acted=(True,) * days,
            watched=now - self.trial.since,
            complete_until=now,
            brake=None if fleet.braked is None or now < BEGIN + fleet.braked * DAY else "by hand",
            kinds=(kind,),
        )

    def users(self) -> TrialUsers:
        fleet = self.fleet
        live = sum(group.share * self.widths[name] for name, group in fleet.groups.items())
        return TrialUsers(fleet.users * (1 - live), fleet.users * live)

    def ended(self, until: Time) -> tuple[Trial, TrialUsers]:
        trial = self.trial
        return Trial(trial.identity, trial.since, until, trial.began_by, ()), self.users()


def ask(name: str, seed: int) -> Found:
    """The gate's answers about one fleet, once a day, until a week of them was `not_ready`."""
    fleet = FLEETS[name]
    refused = 0
    generator, found = RowGenerator(fleet, seed), Found()
    earlier: list[tuple[Trial, TrialUsers]] = []
    run = _TrialRun(fleet, 0)
    for day in range(fleet.days):
        begin = BEGIN + day * DAY
        if day and (_widths(fleet, day) != run.widths or (fleet.edits and day % fleet.edits == 0)):
            earlier.append(run.ended(begin))
            run = _TrialRun(fleet, day)
        rows, now = generator.rows(day), begin + ASKED_AT
        run.add(rows.before(now))
        if day >= fleet.asked_from:
            attempt = count_attempts([*earlier, (run.trial, run.users())], TARGETS.unit, now)
            answer = judge(run.evidence(now, attempt), TARGETS)
            _note(found, day + 1, answer)
            refused = refused + 1 if answer.verdict is GateVerdict.NOT_READY else 0
            if refused == WEEK:
                break
        run.add(rows.after(now))
    return found


def _note(found: Found, day: int, answer: GateAnswer) -> None:
    if answer.verdict is GateVerdict.READY:
        found.ready = found.ready or day
    elif answer.verdict is GateVerdict.NOT_READY:
        found.not_ready = found.not_ready or day


def _widths(fleet: Fleet, day: int) -> dict[str, float]:
    return {name: group.live(day) for name, group in fleet.groups.items()}


_TITLES = ("`ready` is wrong:", "`not_ready` is wrong:", "a week cannot always tell:")


@click.command()
@click.option("--seeds", default=100, show_default=True, help="At most so many runs of each fleet.")
@click.option("--only", default="", help="Only the fleets whose name contains these words.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(seeds: int, only: str, jobs: int) -> None:
    print("| what is true | before | runs | `ready` | `not_ready` |\n|---|---|---|---|---|")
    with ProcessPoolExecutor(jobs) as pool:
        for title, fleets in zip(_TITLES, (FORBIDDEN, ALLOWED, UNKNOWABLE), strict=True):
            print(f"| *{title}* | | | | |")
            for name in fleets:
                if only in name:
                    found = list(pool.map(partial(ask, name), range(min(seeds, FLEETS[name].runs))))
                    print(_format_row(name, found), flush=True)
    if not only:
        _print_exact_figures()


def _format_row(name: str, found: Sequence[Found]) -> str:
    runs = len(found)
    answers = [
        _format_answers([one.ready for one in found if one.ready], runs),
        _format_answers([one.not_ready for one in found if one.not_ready], runs),
    ]
    return f"| {name} | {FLEETS[name].before} | {runs} | {' | '.join(answers)} |"


def _format_answers(days: Sequence[int], runs: int) -> str:
    """How often an answer came, and the median of the first day on which it did."""
    return format_share(len(days), runs) + (f", day {median(days):.0f}" if days else "")


def format_share(found: int, runs: int) -> str:
    """The share in percent, with its interval of 95 % (Wilson)."""
    low, high = wilson(found, runs) or (0.0, 1.0)
    if not found:
        interval = f"at most {100 * high:.1f} %"
    elif found == runs:
        interval = f"at least {100 * low:.1f} %"
    else:
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
    return f"{100 * found / runs:.0f} % ({interval})"


def _print_exact_figures() -> None:
    """What can be computed needs no draws: here one user is one yes or no."""
    print("\nagreement exactly 99 %, asked after every user up to 5 000: wrongly shown, exactly")
    for name, test in (
        ("e-value of 40, the gate's first trial", partial(_betting, 40.0)),
        ("e-value of 20", partial(_betting, 20.0)),
        ("Wilson's lower bound, from the 300th user on", _wilson),
    ):
        print(f"  {name:46} {_exact(0.99, 5000, test):7.2%}")
    print("agreement exactly 99 %, settings edited every 8 days, 1 500 users a trial, a year:")
    print(f"  wrongly shown in any trial, at most {_exact_of_edits(8, 365, 1500):.2%}")
    print("a stretch refutes in 90 days, 1 000 users a day, asked at the end of each, at most:")
    for truth in (0.995, 0.999):
        print(f"  at a true agreement of {truth:.1%}: {_exact_of_stretches(truth, 90, 1000):.1e}")
    print("users of the control in the first period that show the agreement, one yes or no each:")
    for attempt in (1, 2, 3):
        print(f"  all agree, attempt {attempt}: {_users_needed(1.0, 0.99, attempt)}")
    for truth in (0.998, 0.995):
        print(f"  {truth:.1%} agree, attempt 1: {_users_needed(truth, 0.99, 1)}")
    for target in (0.98, 0.97, 0.95):
        print(f"  all agree, min_agreement {target:g}: {_users_needed(1.0, target, 1)}")


def _users_needed(truth: float, target: float, attempt: int) -> int:
    """With so many users the e-value is reached, if exactly this share of them agrees."""
    users = 1
    while log_e_value({(1, 1): users * truth, (0, 1): users * (1 - truth)}, target) < log(
        wanted_e_value(attempt)
    ):
        users += 1
    return users


def _exact_of_edits(every: int, days: int, users: int) -> float:
    """The sum over all trials of the probability that the agreement is shown, if it is 99 %."""
    total = 0.0
    for number in range(days // every):
        attempt = 1 + min(number, 90 // every)
        wanted = wanted_e_value(attempt)
        total += float(binom.cdf(_most_that_show(wanted, users), users, 0.01))
    return total


def _most_that_show(wanted: float, users: int) -> int:
    """The most failures among so many users with which the agreement is shown; -1: with none."""
    failures = -1
    while _betting(wanted, users - failures - 1, users):
        failures += 1
    return failures


def _exact_of_stretches(truth: float, days: int, users: int) -> float:
    """The sum over all days and weeks of the probability that one refutes, asked at its end."""
    total, ordinal = 0.0, 0
    for day in range(days):
        for many in (users, WEEK * users) if day >= WEEK - 1 else (users,):
            ordinal += 1
            fewest = _fewest_that_refute(log(E_VALUE * ordinal), many)
            total += float(binom.sf(fewest - 1, many, 1 - truth))
    return total


def _fewest_that_refute(log_wanted: float, users: int) -> int:
    """The fewest failures among so many users that refute an agreement of 99 %."""
    failures = users // 100
    while log_e_value_below({(1, 1): users - failures, (0, 1): failures}, 0.99) < log_wanted:
        failures += 1
    return failures


def _exact(truth: float, most: int, test: Callable[[int, int], bool]) -> float:
    """The probability that the test ever passes, by recursion over the number of failures."""
    # With so many failures, the test passes from so many users on.
    passes = [_first_pass(failures, most, test) for failures in range(most // 50)]
    alive, passed = np.zeros(len(passes)), 0.0
    alive[0] = 1.0
    needed = np.array(passes)
    for users in range(1, most + 1):
        failed = np.concatenate(([0.0], alive[:-1])) * (1 - truth)
        alive = alive * truth + failed
        over = needed <= users
        passed += alive[over].sum()
        alive[over] = 0.0
    return float(passed)


def _first_pass(failures: int, most: int, test: Callable[[int, int], bool]) -> int:
    """The fewest users with so many failures at which the test passes; more than `most` if it does not."""
    low, high = failures, most + 1
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle - failures, middle) else (middle, high)
    return high


def _betting(wanted: float, successes: int, users: int) -> bool:
    return log_e_value({(1, 1): successes, (0, 1): users - successes}, 0.99) >= log(wanted)


def _wilson(successes: int, users: int) -> bool:
    # One-sided 95 %, as the e-value is.
    bounds = wilson(successes, users, z=1.644854)
    return users >= 300 and bounds is not None and bounds[0] >= 0.99


if __name__ == "__main__":
    main()
