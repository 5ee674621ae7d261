"""How often the gate and the brake are wrong, and how much data they need: the tables of the README.

`python -m benchmarks.gate_simulation [--seeds 400]`: a quarter of an hour on two idle cores. The gate itself is
asked after every hour of a simulated month (tests/gate/fleets.py); only the two comparisons with other
methods work on bare figures. Where nothing can be answered wrongly by chance, a quarter of the seeds do.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from statistics import median, quantiles

import click
import numpy as np

from shim.gate import GateVerdict
from shim.gate.statistics import log_e_value, wilson
from shim.model import Role
from tests.gate.fleets import Fleet, first_verdict
from tests.gate.outcomes import first_brake

_RETURNS = {Role.CONTROL: 0.95, Role.CANDIDATE: 0.95}

FLEETS: dict[str, Fleet] = {
    "perfect agreement": Fleet(),
    "0.2 % disagreement": Fleet(disagreement=0.002),
    "0.5 %, 16 000 users": Fleet(disagreement=0.005, users=16_000),
    "1 % (border)": Fleet(disagreement=0.01),
    "2 %": Fleet(disagreement=0.02),
    "1 %, correlated (0.3), bursts of ten": Fleet(
        disagreement=0.01, correlation=0.3, burst=10, per_day=5
    ),
    "1 %, outage hits half on day 1": Fleet(disagreement=0.01, outage=12),
    "1 %, outage hits half on day 10": Fleet(disagreement=0.01, outage=228),
    "returns 5 points lower (border)": Fleet(returns={**_RETURNS, Role.CANDIDATE: 0.90}),
    "the same, outage on day 1": Fleet(returns={**_RETURNS, Role.CANDIDATE: 0.90}, outage=12),
    "returns 20 points lower": Fleet(returns={**_RETURNS, Role.CANDIDATE: 0.75}),
    "returns 95 % either": Fleet(returns=_RETURNS),
    "proofs of life 2 % and 0": Fleet(proofs={Role.CONTROL: 0.0, Role.CANDIDATE: 0.02}),
    "the candidate never pings": Fleet(pings=0.0),
    "3 %, all of it explained by a rule": Fleet(disagreement=0.03, hidden=1.0),
    "an expired rule": Fleet(expired=("old",)),
    "60 users": Fleet(users=60),
}

BORDERS = (
    "1 % (border)",
    "1 %, correlated (0.3), bursts of ten",
    "1 %, outage hits half on day 1",
    "1 %, outage hits half on day 10",
    "returns 5 points lower (border)",
    "the same, outage on day 1",
)


@click.command()
@click.option("--seeds", default=400, show_default=True)
@click.option("--only", default="", help="Only the fleets whose description contains this.")
def main(seeds: int, only: str) -> None:
    with ProcessPoolExecutor() as pool:
        print(f"{'true of the fleet':38}  runs   ready  not ready   days, users until ready")
        for name, fleet in FLEETS.items():
            if only not in name:
                continue
            runs = seeds if name in BORDERS else seeds // 4
            found = list(pool.map(partial(first_verdict, fleet), range(runs), chunksize=4))
            ready = [hit for hit in found if hit and hit[0] is GateVerdict.READY]
            failed = sum(hit is not None and hit[0] is GateVerdict.NOT_READY for hit in found)
            needed = ""
            if ready:
                days = [hour / 24 for _, hour, _ in ready]
                needed = f"{median(days):.1f}, {median(users for *_, users in ready):.0f}"
            print(
                f"{name:38} {runs:5d} {len(ready) / runs:7.1%} {failed / runs:10.1%}   {needed}",
                flush=True,
            )
        if not only:
            other_methods(seeds)
            sliding(seeds)
            brakes(pool, seeds)


def other_methods(seeds: int) -> None:
    """Wilson's lower bound and the e-value, asked after each of 5 000 independent users."""
    print("\nagreement alone, asked after every user, up to 5 000 (Wilson: from the 300th on)")
    print(
        f"{'true agreement':>15} {'e-value: ready':>16} {'users':>7} {'Wilson: ready':>16} {'users':>7}"
    )
    for truth in (0.99, 0.995, 0.998, 0.999, 1.0):
        line = f"{truth:15.3f}"
        for test in (_betting, _wilson):
            hits = [hit for hit in _first_hits(truth, seeds, test) if hit is not None]
            users = f"{median(hits):.0f}" if len(hits) > seeds / 2 else "-"
            line += f" {len(hits) / seeds:16.1%} {users:>7}"
        print(line)


def _first_hits(truth: float, seeds: int, test: Callable[[int, int], bool]) -> Iterator[int | None]:
    """The first number of users at which the test says ready; it can start to only at a success."""
    for seed in range(seeds):
        failed = np.flatnonzero(np.random.default_rng(seed).random(5000) >= truth)
        yield _first_hit(failed.tolist(), test)


def _first_hit(failed: list[int], test: Callable[[int, int], bool]) -> int | None:
    """Between two failures the evidence only grows: the first hit in between is found by halving."""
    start = 0
    for failures, end in enumerate([*failed, 5000]):
        if end > start and test(end - failures, end):
            low, high = start, end
            while low + 1 < high:
                middle = (low + high) // 2
                low, high = (low, middle) if test(middle - failures, middle) else (middle, high)
            return high
        start = end + 1
    return None


@cache
def _betting(successes: int, trials: int) -> bool:
    return log_e_value({(1, 1): successes, (0, 1): trials - successes}, 0.99) >= np.log(20)


def _wilson(successes: int, trials: int) -> bool:
    # One-sided 95 %, as the e-value is.
    bounds = wilson(successes, trials, z=1.644854)
    return trials >= 300 and bounds is not None and bounds[0] >= 0.99


def sliding(seeds: int) -> None:
    """The period alone and with the epoch, at a true agreement of 0.99, asked every hour."""
    print("\nagreement at the border, asked every hour: wrongly ready")
    print("users observed an hour   days   the period alone   period and epoch")
    week = 168
    for rate, days in ((3, 30), (3, 365), (10, 30), (10, 365)):
        alone = both = 0
        for seed in range(seeds):
            draws = np.random.default_rng(seed).binomial(rate, 0.99, days * 24)
            good = [0, *np.cumsum(draws).tolist()]
            period, agreed = False, False
            for hour in range(1, days * 24 + 1):
                start = max(0, hour - week)
                if _betting(good[hour] - good[start], (hour - start) * rate):
                    period = True
                    agreed = agreed or _betting(good[hour], hour * rate)
            alone += period
            both += agreed
        print(
            f"{rate:22d} {days:6d} {alone / seeds:18.1%} {both / seeds:18.1%}",
            flush=True,
        )


def brakes(pool: ProcessPoolExecutor, seeds: int) -> None:
    """The brake on return rates, asked after each outcome of a month."""
    print("\nbrake on return rates: a month of 100 outcomes a day and arm, asked after each")
    print("control  candidate  from day   runs  engaged   after outcomes of the candidate")
    for control, candidate, since in (
        (0.95, 0.95, 0),
        (0.7, 0.7, 0),
        (0.5, 0.5, 0),
        (0.95, 0.65, 0),
        (0.8, 0.5, 0),
        (0.95, 0.65, 20),
        (0.95, 0.85, 0),
    ):
        runs = seeds if control == candidate else seeds // 4
        found = pool.map(partial(first_brake, control, candidate, since), range(runs), chunksize=4)
        hits = [hit for hit in found if hit is not None]
        needed = ""
        if len(hits) > 1:
            needed = f"median {median(hits):.0f}, 95 % within {quantiles(hits, n=20)[-1]:.0f}"
        share = len(hits) / runs
        print(
            f"{control:7.2f} {candidate:10.2f} {since:9d} {runs:6d} {share:8.1%}   {needed}",
            flush=True,
        )


if __name__ == "__main__":
    main()
