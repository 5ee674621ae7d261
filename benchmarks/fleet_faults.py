"""`python -m benchmarks.fleet_faults`: many rounds of each fault, at random moments, with real processes.

Each round has clients that stay, and clients that fall silent and come back elsewhere, or not. After it every
invariant is audited. Several fleets, each with a PostgreSQL and clients of its own, are troubled beside each
other. Needs PostgreSQL, and root for the disks that are filled.
"""

import asyncio
import random
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path

import click

from tests.fleet_faults.audit import (
    audit_closings,
    audit_orders,
    audit_outcomes,
    audit_rows,
    audit_steps,
    audit_writers,
)
from tests.fleet_faults.fault_round import FaultRound, play_round, release_brake
from tests.fleet_faults.faults import FAULTS, Fault
from tests.fleet_faults.troubled_fleet import TroubledFleet, troubled_fleet

_COLUMNS = "{:22} {:>6} {:>9}  {:>9} {:>9} {:>9} {:>9}"
_HEAD = _COLUMNS.format("fault", "rounds", "findings", "brake", "flags", "release", "takeover")
_AUDITS = (
    audit_rows,
    audit_orders,
    audit_outcomes,
    audit_closings,
    audit_writers,
    audit_steps,
)

_REST_OF_ROUND = 20
"""Seconds that a round takes beside its fault, roughly."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(FAULTS)))
@click.option("--rounds", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--short", is_flag=True, help="Faults as short as in the tests.")
@click.option("--fleets", default=1, show_default=True, help="So many beside each other.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    default="fault-logs",
    show_default=True,
    help="Of a round with findings the logs of all processes get there.",
)
def main(
    names: Sequence[str], rounds: int, seed: int, short: bool, fleets: int, logs: Path
) -> None:
    """Play rounds of the faults NAMES (all), and print the findings.

    The seconds are medians and maxima: until brake, flags and release are in force everywhere after the end of
    the fault, and until another process has the lease of one that was killed or frozen.
    """
    faults = [FAULTS[name] for name in names or FAULTS]
    if fleets == 1:
        rows = asyncio.run(_play(faults, rounds, seed, short, logs))
    else:
        options = [f"--rounds={rounds}", f"--seed={seed}", f"--logs={logs}", *["--short"] * short]
        dealt = _deal(faults, fleets, rounds)
        rows = asyncio.run(_play_beside_each_other(dealt, options))
        print(_HEAD, *sorted(rows, key=_place), sep="\n", flush=True)
    sys.exit(any(row.split()[2] != "0" for row in rows) or len(rows) < len(faults))


def _place(row: str) -> int:
    return list(FAULTS).index(row.split()[0])


def _deal(faults: Sequence[Fault], fleets: int, rounds: int) -> list[list[str]]:
    """Which faults each fleet gets: about the same time for all."""
    dealt: list[tuple[float, list[str]]] = [(0.0, []) for _ in range(fleets)]
    for fault in sorted(faults, key=lambda fault: -fault.full):
        taken, names = min(dealt)
        dealt.remove((taken, names))
        seconds = rounds * (fault.full + _REST_OF_ROUND + fault.recovers_in)
        dealt.append((taken + seconds, [*names, fault.name]))
    return [names for _, names in dealt if names]


async def _play_beside_each_other(
    dealt: Sequence[Sequence[str]], options: Sequence[str]
) -> list[str]:
    # One after the other: a process that starts takes a second of the machine.
    starts = asyncio.Lock()
    played = await asyncio.gather(*(_play_in_process(names, options, starts) for names in dealt))
    return [row for rows in played for row in rows]


async def _play_in_process(
    names: Sequence[str], options: Sequence[str], starts: asyncio.Lock
) -> list[str]:
    """Pass on what the process prints; the rows of the table."""
    command = ("-m", "benchmarks.fleet_faults", *options, *names)
    async with starts:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE)
        assert process.stdout is not None
        await process.stdout.readline()  # the head of the table: the fleet runs
    rows: dict[str, str] = {}
    async for printed in process.stdout:
        line = printed.decode().rstrip()
        print(line, flush=True)
        if (name := line.partition(" ")[0]) in FAULTS:
            rows[name] = line
    await process.wait()
    return [*rows.values()]


async def _play(
    faults: Sequence[Fault], rounds: int, seed: int, short: bool, logs: Path
) -> list[str]:
    rows: list[str] = []
    async with troubled_fleet() as fleet:
        print(_HEAD, flush=True)
        for fault in faults:
            played: list[FaultRound] = []
            found = 0
            fleet.takeovers.clear()
            for number in range(rounds):
                name = f"{fault.name}-{number}"
                began = time.monotonic()
                seconds = fault.short if short and fault.short is not None else fault.full
                findings = await _audited_round(
                    fleet, fault, random.Random(f"{seed} {name}"), name, seconds, played
                )
                if findings:
                    await asyncio.to_thread(fleet.write_logs, logs / f"{seed}-{name}")
                for finding in findings:
                    text = finding.replace("\n", "\n        ")
                    print(f"    {time.strftime('%X')} {name}: {text}", flush=True)
                found += len(findings)
                click.echo(f"    {name}: {time.monotonic() - began:.0f} s", err=True)
            rows.append(
                _COLUMNS.format(
                    fault.name,
                    rounds,
                    found,
                    _spread([one.brake for one in played]),
                    _spread([one.flags for one in played]),
                    _spread([one.release for one in played]),
                    _spread(fleet.takeovers),
                )
            )
            print(rows[-1], flush=True)
    return rows


async def _audited_round(
    fleet: TroubledFleet,
    fault: Fault,
    chance: random.Random,
    name: str,
    seconds: float,
    played: list[FaultRound],
) -> list[str]:
    findings: list[str] = []
    try:
        played.append(await play_round(fleet, fault, chance, name, seconds))
        for audit in _AUDITS:
            findings += await audit(fleet)
    except Exception as error:
        findings.append(f"{type(error).__name__}: {error}")
        try:
            await release_brake(fleet, chance)
        except Exception as another:
            findings.append(f"and then {type(another).__name__}: {another}")
    await fleet.crowd.end_visits()
    return findings


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f}/{ordered[-1]:.1f}" if ordered else ""


if __name__ == "__main__":
    main()
