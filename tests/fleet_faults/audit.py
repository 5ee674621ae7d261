"""What has to hold after each fault, whatever was broken. Each finding is a sentence."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from shim.ledger.rows import ROWS, RunRow
from shim.model import SECOND
from tests.fleet.standstill import Span
from tests.fleet_faults.crowd import Visit
from tests.fleet_faults.member import Acknowledged, Member
from tests.fleet_faults.silence import Closing
from tests.fleet_faults.troubled_fleet import STEPPED, WRITTEN, TroubledFleet, wait_for
from tests.postgres.helpers import look

_SILENT = 2.5
"""Seconds of silence, at least, before a process closes a connection."""

_EXACT = 0.2
"""Seconds by which a time in the store may be wrong."""


async def audit_rows(fleet: TroubledFleet) -> list[str]:
    """Each acknowledged row is in the store, once, and nothing else is."""
    findings = []
    for member in [*fleet.members, *fleet.dead]:
        before = member.acknowledged
        await asyncio.to_thread(member.note)
        findings += [
            f"{row} is no longer in the outbox of {member.name}" for row in _gone(before, member)
        ]
    for member in fleet.members:
        wanted = dict(member.acknowledged)

        async def has_arrived(wanted: Acknowledged = wanted) -> bool:
            stored = await _stored(fleet)
            return not _without(wanted, stored)

        await wait_for(has_arrived, f"every row of {member.name} is in the store")
    stored = await _stored(fleet)
    kept: Acknowledged = {}
    for member in [*fleet.members, *fleet.dead]:
        await asyncio.to_thread(member.note)
        kept |= member.acknowledged
    findings += [f"{row} is in no outbox" for row in _without(stored, kept)]
    findings += [f"{row} is about another connection" for row in _others(stored, kept)]
    for member in fleet.dead:
        findings += _holes(member, stored)
    return findings


def _gone(before: Acknowledged, member: Member) -> list[Any]:
    return _without(before, member.acknowledged)


def _without(wanted: Acknowledged, found: Acknowledged) -> list[Any]:
    """An action is written again when its outcome is known; then it has another number."""
    actions = {(uuid, name) for (table, uuid, _), name in found.items() if table == "action"}
    return [
        row
        for row, name in wanted.items()
        if row not in found and not (row[0] == "action" and (row[1], name) in actions)
    ]


def _others(stored: Acknowledged, kept: Acknowledged) -> list[Any]:
    return [row for row, name in stored.items() if row in kept and kept[row] != name]


def _holes(member: Member, stored: Acknowledged) -> Iterator[str]:
    """What a dead process has shipped are its first rows."""
    shipped: Counter[str] = Counter()
    for _, uuid, number in stored:
        shipped[uuid] = max(shipped[uuid], number)
    for row, name in member.acknowledged.items():
        if row[2] <= shipped[row[1]] and _without({row: name}, stored):
            yield f"{row} of {member.name} was left out"


async def _stored(fleet: TroubledFleet) -> Acknowledged:
    asked = " UNION ALL ".join(
        f"SELECT '{row.TABLE}', uuid, number, "
        f"{'connection' if 'connection' in row.columns() else 'NULL::text'} "
        f"FROM {row.TABLE} JOIN run ON run.id = {row.TABLE}.run"
        for row in ROWS
        if row is not RunRow
    )
    found = await asyncio.to_thread(look, fleet.store, asked)
    stored = {(table, uuid, number): name for table, uuid, number, name in found}
    assert len(stored) == len(found), "a number is used twice"
    return stored


async def audit_closings(fleet: TroubledFleet) -> list[str]:
    """No client that answers in time is disconnected, but by the death of its process, or by the control after
    a pause of the process."""
    closed = await _read_closings(fleet)
    findings = [
        f"{stay.user}, which stays, was disconnected: {stay.ended}"
        for stay in fleet.crowd.stays
        if stay.is_disturbed and stay.user not in closed
    ]
    visitors = {visit.user for visit in fleet.crowd.visits}
    answers = fleet.crowd.answers()
    for user, closings in closed.items():
        # A visitor is silent until it is closed.
        for closing in closings[1:] if user in visitors else closings:
            given = answers.get(user, [])
            if not closing.is_owed_to(fleet.pauses_of(closing.process), given):
                findings.append(f"{user} answers, and was closed: {closing}; its answers: {given}")
    return findings


async def _read_closings(fleet: TroubledFleet) -> dict[str, list[Closing]]:
    """The closings of the clients of this round, in the order of time."""
    users = {stay.user for stay in fleet.crowd.stays} | {v.user for v in fleet.crowd.visits}
    to_wall = time.time() - asyncio.get_running_loop().time()
    found: dict[str, list[Closing]] = {}
    asked = (
        "SELECT \"user\", name, role = 'control', last_activity, acted_at FROM action "
        "JOIN process ON process.run = action.run ORDER BY acted_at"
    )
    for user, process, by_control, *ends in await asyncio.to_thread(look, fleet.store, asked):
        silence = Span(*(end / SECOND - to_wall for end in ends))
        if user in users:
            found.setdefault(user, []).append(Closing(process, by_control, silence))
    return found


async def audit_writers(fleet: TroubledFleet) -> list[str]:
    """Who concludes outcomes or engages the fleet's brake has the lease for that when it writes, and nobody who
    was frozen meanwhile."""
    written = await asyncio.to_thread(
        look, fleet.store, f"SELECT DISTINCT duty, process, holder FROM {WRITTEN}"
    )
    assert written, "nobody has concluded anything"
    return [
        f"{process} wrote for all ({duty}), and {holder} had the lease"
        for duty, process, holder in written
        if holder is None or holder.split()[0] != process
    ]


async def audit_steps(fleet: TroubledFleet) -> list[str]:
    """The step of the plan was taken by one process, once for each version of the flags that the tests have
    brought, and only while the brake was released."""
    steps = await asyncio.to_thread(
        look, fleet.store, f"SELECT process, before, braked FROM {STEPPED}"
    )
    brought = Counter(flags.brought for flags in fleet.brought)
    findings = [
        f"{process} took the step while the brake was engaged"
        for process, _, braked in steps
        if braked
    ]
    for flags, count in Counter(before for _, before, _ in steps).items():
        if count > brought[flags]:
            who = [process for process, before, _ in steps if before == flags]
            findings.append(f"the step after the flags {flags} was taken {count} times: {who}")
    return findings


async def audit_orders(fleet: TroubledFleet) -> list[str]:
    """No order to the brake is given twice."""
    orders = await asyncio.to_thread(
        look, fleet.store, "SELECT engaged, reason, process FROM brake_order ORDER BY id"
    )
    return [
        f"the orders {first} and {second} follow each other"
        for first, second in itertools.pairwise(orders)
        if first[0] == second[0]
    ]


async def audit_outcomes(fleet: TroubledFleet) -> list[str]:
    """Everything is concluded, once, and is what the clients wrote down."""
    await wait_for(lambda: not fleet.crowd.is_busy, "every visitor has been closed, and is back")
    users = [visit.user for visit in fleet.crowd.visits]

    async def is_concluded() -> bool:
        found = await _results(fleet)
        expected = {visit.user for visit in fleet.crowd.visits if visit.was_closed}
        return expected <= set(found) and all(
            result for user in users for result, *_ in found.get(user, ())
        )

    await wait_for(is_concluded, "every outcome is concluded", explain=fleet.describe_returns)
    found = await _results(fleet)
    to_wall = time.time() - asyncio.get_running_loop().time()
    findings: list[str] = []
    for visit in fleet.crowd.visits:
        if actions := found.get(visit.user):
            findings += _judge(visit, actions[0], to_wall)
    for member in fleet.living:
        await wait_for(
            partial(_tells_each_once, fleet, member), f"{member.name} tells each outcome once"
        )
    return findings


async def _results(fleet: TroubledFleet) -> dict[str, list[tuple[Any, ...]]]:
    results: dict[str, list[tuple[Any, ...]]] = {}
    asked = 'SELECT "user", result, delay, acted_at FROM action ORDER BY acted_at'
    for user, *facts in await asyncio.to_thread(look, fleet.store, asked):
        results.setdefault(user, []).append(tuple(facts))
    return results


def _judge(visit: Visit, action: tuple[Any, ...], to_wall: float) -> Iterator[str]:
    result, delay, acted_at = action
    if visit.surely_returned and result in ("lost", None):
        yield f"{visit} came back, and the fleet says {result}"
    if not visit.comes_back and result in ("returned", "replaced"):
        yield f"{visit} never came back, and the fleet says {result}"
    if visit.was_closed:
        yield from _judge_times(visit, delay, acted_at / 1e6 - to_wall)


def _judge_times(visit: Visit, delay: int | None, acted: float) -> Iterator[str]:
    """The tests' clock is the store's."""
    assert visit.closed_at is not None
    if not visit.came_at + _SILENT - _EXACT <= acted <= visit.closed_at + _EXACT:
        yield f"{visit} was closed at {acted} by the store's clock"
    if delay is not None and visit.tried_at is not None and visit.back_at is not None:
        shortest = visit.tried_at - visit.closed_at - _EXACT
        longest = visit.back_at - visit.came_at - _SILENT + _EXACT
        if not shortest <= delay / 1e6 <= longest:
            yield f"{visit} came back after {delay / 1e6} s, the fleet says"


async def _tells_each_once(fleet: TroubledFleet, member: Member) -> bool:
    """Whether the process has told as many outcomes as the store has of its run: no outcome twice."""
    report = await member.report()
    told = sum(sum(results.values()) for results in report["outcomes"].values()) if report else -1
    uuid = member.outbox.runs()[-1].uuid
    ((stored,),) = await asyncio.to_thread(
        look,
        fleet.store,
        f"SELECT count(*) FROM action JOIN run ON run.id = action.run WHERE uuid = '{uuid}' "
        "AND result IS NOT NULL",
    )
    return bool(told == stored)
