"""How often the brake engages wrongly, and how soon rightly: the second table of the README (R22).

`python -m benchmarks.brake_simulation [--runs 100] [--only WORDS]`. The brake's own watches are driven in
virtual time by decisions, false kills, returns and losses of a stated truth; cuts of the network go through
the real router, guard and brake (`benchmarks/network_cut.py`). A month has 30 days.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

import click
import numpy as np

from benchmarks.gate_simulation import format_share
from benchmarks.network_cut import Cut, CutWorld
from shim.gate.brake_statistics import FalseKillWatch, ReturnWatch
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.model import EVERYBODY, SECOND, Duration, Kind, Role, Time
from shim.settings.sections import BrakeSettings, GateSettings

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONTH = 30
_LONGEST = 60
"""Days for which a fault that must be found is looked for."""

BEGIN = 20_003 * DAY
_GATE = GateSettings()
_TIMES = QuestionTimes(BEGIN, _GATE.period, _GATE.unit, _GATE.grain)


@dataclass(frozen=True)
class Kills:
    """False kills: so many decisions in 15 minutes, and the share of them that is wrong."""

    share: float
    decisions: int = 100
    users: int = 20_000
    days: int = MONTH

    def run(self, seed: int) -> Duration | None:
        """How long it took until the brake engaged; None: it did not."""
        random = np.random.default_rng(seed)
        watch = FalseKillWatch(BrakeSettings(), _GATE.grain, BEGIN)
        for day in range(self.days):
            count = random.poisson(self.decisions * 96)
            at = np.sort(random.integers(day * DAY, (day + 1) * DAY, count))
            users = random.integers(0, self.users, count).astype(str).tolist()
            wrong = (random.random(count) < self.share).tolist()
            for since, user, killed in zip(at.tolist(), users, wrong, strict=True):
                watch.decided(user, BEGIN + since)
                if killed and watch.killed(user, BEGIN + since):
                    return int(since)
        return None


@dataclass(frozen=True)
class Returns:
    """Returns and losses: so many a day, of so many users, half of them after each monitor's closing.

    Attributes:
        outages: on every third day so many of the users have a timeout within 20 s; of these clients half
            as many come back.
        restarts: the process restarts each hour, and goes on from its record.
        processes: so many, whose records are merged.
    """

    candidate: float = 0.95
    control: float = 0.95
    per_day: int = 1000
    users: int = 3000
    days: int = MONTH
    outages: float = 0.0
    restarts: bool = False
    processes: int = 1

    def run(self, seed: int) -> Duration | None:
        known: list[ObservedRow] = []
        watch, hour = self._watch(), BEGIN
        for now, rows in self._minutes(np.random.default_rng(seed)):
            if self.restarts and now >= hour + HOUR:
                week = max(BEGIN, (now // DAY - 6) * DAY)
                known = [row for row in known if row.at >= week]
                watch, hour = self._watch(), now
                watch.extend(Kind.APP, known)
            known += rows if self.restarts else ()
            watch.extend(Kind.APP, rows)
            if watch.reason(now):
                return now - BEGIN
        return None

    def _watch(self) -> ReturnWatch:
        return ReturnWatch(
            _TIMES,
            lambda kind: lambda at, run: self.users // (self.processes if run else 1),
        )

    def _minutes(self, random: np.random.Generator) -> Iterator[tuple[Time, list[ObservedRow]]]:
        """The rows minute by minute, those minutes alone that have rows."""
        arms = [Arm(EVERYBODY, Role.CONTROL), Arm(EVERYBODY, Role.CANDIDATE)]
        rates = np.array([self.control, self.candidate])
        for day in range(self.days):
            count = random.poisson(self.per_day)
            at = random.integers(0, DAY, count)
            users = random.integers(0, self.users, count)
            rate = rates[users % 2]
            if self.outages and day % 3 == 0:
                hit = np.flatnonzero(random.random(self.users) < self.outages)
                start = random.integers(0, DAY - MINUTE)
                at = np.concatenate((at, start + random.integers(0, 20 * SECOND, len(hit))))
                users = np.concatenate((users, hit))
                rate = np.concatenate((rate, rates[hit % 2] / 2))
            came = random.random(len(at)) < rate
            processes = random.integers(1, self.processes + 1, len(at))
            rows: list[ObservedRow] = []
            for place in np.argsort(at, kind="stable").tolist():
                row = ObservedRow(
                    f"u{users[place]}",
                    BEGIN + day * DAY + int(at[place]),
                    bool(came[place]),
                    arms[users[place] % 2],
                    int(processes[place]),
                )
                if rows and row.at // MINUTE != rows[0].at // MINUTE:
                    yield (rows[0].at // MINUTE + 3) * MINUTE, rows
                    rows = []
                rows.append(row)
            if rows:
                yield (rows[0].at // MINUTE + 3) * MINUTE, rows


@dataclass(frozen=True)
class Cuts:
    """One cut of the network for each of these lengths, in seconds, on days of their own.

    Nothing else happens, so no right decision makes the false kills a smaller share.
    """

    share: float
    connections: int = 400
    seconds: tuple[int, ...] = (32, 40, 47, 75)

    def run(self, seed: int) -> Duration | None:
        for number, length in enumerate(self.seconds):
            world = CutWorld(
                self.connections, Cut(self.share, length * SECOND), 100 * seed + number
            )
            world.run(world.ends + 5 * MINUTE)
            if world.engaged is not None:
                return number * DAY
        return None


@dataclass(frozen=True)
class Truth:
    """`runs`: how many are enough; `before`: what the brake before this one did."""

    scene: Kills | Returns | Cuts
    runs: int = 100
    before: str = ""


_BEFORE = "63 to 100 %"
"""So many cuts of all connections engaged the brake of earlier versions."""

WRONG = {
    "false kills .2 %, 100 decisions in 15 min": Truth(Kills(0.002), 20),
    "false kills .2 %, 500 decisions in 15 min": Truth(Kills(0.002, 500), 10, "100 %"),
    "false kills .8 %, 100 decisions in 15 min": Truth(Kills(0.008), 80),
    "false kills .8 %, 500 decisions in 15 min": Truth(Kills(0.008, 500), 10),
    **{
        f"cuts of {100 * share:.0f} % of the connections, 32 to 75 s": Truth(
            Cuts(share), 80, _BEFORE if share == 1 else ""
        )
        for share in (0.03, 0.09, 0.3, 1.0)
    },
    **{
        f"cuts of {100 * share:.0f} % of the connections, 100 to 350 s": Truth(
            Cuts(share, seconds=(100, 160, 250, 350)), 20, _BEFORE if share == 1 else ""
        )
        for share in (0.03, 0.09, 0.3, 1.0)
    },
    "an outage of 160 s hits 30 % of 150 users an arm": Truth(
        Cuts(0.3, 300, (160,)), 80, "93 to 100 %"
    ),
    **{
        f"returns equal, outages of {100 * share:.0f} % of the users": Truth(
            Returns(per_day=300, outages=share), 50
        )
        for share in (0.02, 0.1, 0.3)
    },
    "returns equal, hourly restarts": Truth(Returns(per_day=300, restarts=True), 20),
    "returns equal, 8 processes": Truth(Returns(per_day=300, outages=0.1, processes=8), 10),
}
"""Months in which the brake must not engage."""

RIGHT = {
    "false kills 5 %, 100 decisions in 15 min": Truth(Kills(0.05)),
    "false kills 30 %, 100 decisions in 15 min": Truth(Kills(0.3)),
    **{
        f"returns {points} points lower, {per_day} outcomes a day": Truth(
            Returns(0.95 - points / 100, per_day=per_day, days=_LONGEST),
            50,
            "56 h" if (points, per_day) == (10, 1000) else "",
        )
        for per_day in (100, 1000)
        for points in (10, 20, 30)
    },
    "returns 10 points lower, 1000 a day, hourly restarts": Truth(
        Returns(0.85, restarts=True, days=_LONGEST), 20, "never"
    ),
    "returns 10 points lower, 1000 a day, 8 processes": Truth(
        Returns(0.85, processes=8, days=_LONGEST), 50, "never"
    ),
}
"""Truths for which the brake must engage, and soon."""


@click.command()
@click.option("--runs", default=100, show_default=True, help="At most so many runs of each truth.")
@click.option("--only", default="", help="Only the truths whose name contains these words.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(runs: int, only: str, jobs: int) -> None:
    with ProcessPoolExecutor(jobs) as pool:
        for title, truths, describe in (
            ("months in which the brake must not engage", WRONG, _format_share),
            ("the brake must engage: median delay (95 %)", RIGHT, _format_delays),
        ):
            print(f"| {title} | before | runs | |\n|---|---|---|---|")
            for name, truth in truths.items():
                if only in name:
                    found = list(pool.map(truth.scene.run, range(min(runs, truth.runs))))
                    print(
                        f"| {name} | {truth.before} | {len(found)} | {describe(found)} |",
                        flush=True,
                    )


def _format_share(found: Sequence[Duration | None]) -> str:
    return format_share(sum(delay is not None for delay in found), len(found))


def _format_delays(found: Sequence[Duration | None]) -> str:
    """The median, and the delay that 95 % do not exceed."""
    delays = sorted(float("inf") if delay is None else delay / MINUTE for delay in found)
    return f"{_format_minutes(median(delays))} ({_format_minutes(delays[len(delays) * 95 // 100])})"


def _format_minutes(minutes: float) -> str:
    if minutes == float("inf"):
        return f"more than {_LONGEST} d"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 72 * 60 else f"{minutes / 1440:.1f} d"


if __name__ == "__main__":
    main()
