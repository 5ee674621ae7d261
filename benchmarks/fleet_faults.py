"""`python -m benchmarks.fleet_faults`: many rounds of each fault, at random moments, with real processes.

Each round has clients that stay, and clients that fall silent and come back elsewhere, or not. After it every
invariant is audited. Needs PostgreSQL, and root for the disks that are filled.
"""

import asyncio
import random
import sys
from collections.abc import Sequence

import click

from tests.fleet_faults.audit import audit_orders, audit_outcomes, audit_rows, audit_stays
from tests.fleet_faults.fault_round import FaultRound, play_round
from tests.fleet_faults.faults import FAULTS, Fault
from tests.fleet_faults.troubled_fleet import TroubledFleet, troubled_fleet

_COLUMNS = "{:22} {:>6} {:>9}  {:>9} {:>9} {:>9} {:>9}"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)))
@click.option("--rounds", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--short", is_flag=True, help="Faults as short as in the tests.")
def main(names: Sequence[str], rounds: int, seed: int, short: bool) -> None:
    """Play rounds of the faults NAMES (all), and print the findings.

    The seconds are medians and maxima: until brake, flags and release are in force everywhere after the end of
    the fault, and until another process has the lease of one that was killed or frozen.
    """
    found = asyncio.run(_play([FAULTS[name] for name in names or FAULTS], rounds, seed, short))
    sys.exit(1 if found else 0)


async def _play(faults: Sequence[Fault], rounds: int, seed: int, short: bool) -> int:
    print(
        _COLUMNS.format("fault", "rounds", "findings", "brake", "flags", "release", "takeover"),
        flush=True,
    )
    found = 0
    async with troubled_fleet() as fleet:
        for fault in faults:
            played: list[FaultRound] = []
            findings: list[str] = []
            fleet.takeovers.clear()
            for number in range(rounds):
                name = f"{fault.name}-{number}"
                chance = random.Random(f"{seed} {name}")
                findings += await _audited_round(fleet, fault, chance, name, short, played)
            print(
                _COLUMNS.format(
                    fault.name,
                    rounds,
                    len(findings),
                    _spread([one.brake for one in played]),
                    _spread([one.flags for one in played]),
                    _spread([one.release for one in played]),
                    _spread(fleet.takeovers),
                ),
                *findings,
                sep="\n    ",
                flush=True,
            )
            found += len(findings)
    return found


async def _audited_round(
    fleet: TroubledFleet,
    fault: Fault,
    chance: random.Random,
    name: str,
    short: bool,
    played: list[FaultRound],
) -> list[str]:
    try:
        played.append(await play_round(fleet, fault, chance, name, fault.seconds[not short]))
        findings = await audit_rows(fleet)
        findings += await audit_orders(fleet)
        findings += await audit_outcomes(fleet)
        findings += await audit_stays(fleet)
    except AssertionError as error:
        findings = [str(error)]
    fleet.crowd.forget_visits()
    for member in fleet.members:
        member.stood_still = False
    return [f"{name}: {finding}" for finding in findings]


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f}/{ordered[-1]:.1f}" if ordered else ""


if __name__ == "__main__":
    main()
