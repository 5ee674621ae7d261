"""A rollout in which a bad client release makes the brake engage, against a running service."""

import asyncio
from itertools import groupby
from pathlib import Path

import pytest

from shim.demo.client_history import ClientHistories
from shim.demo.demo_clients import ClientBehaviour
from shim.demo.demo_run import captured_log, unless
from shim.demo.demo_service import demo_service
from shim.demo.demo_settings import FACTOR, flags_file, settings_value
from shim.model import SECOND, Kind, Stage
from shim.settings.flags_file import parse_flags
from tests.demo.false_kill_checks import GRAIN, LIMITS, RolloutEvidence, judge
from tests.demo.false_kill_rollout import (
    STEPS,
    LedgerRecord,
    ReleasingOperator,
    new_release,
    old_release,
    read_record,
    split,
)

USERS = 48
PATIENCE = 45.0

FORESEEN = ("flags: refused", "brake engaged", "brake released", "the guard holds")
"""Errors in the log that belong to the rollout."""
HUNG_UP = "ClientConnectionResetError"
"""So does this one: a client of the withdrawn release went in the middle of its handshake."""

FILES = (
    (flags_file(shadow=100), {Stage.SHADOW}),
    (flags_file(live=50, shadow=50), {Stage.SHADOW, Stage.LIVE}),
    (flags_file(live=90, shadow=10), {Stage.LIVE}),
)
"""The files that the operator puts in place, and the stages that somebody has to be at."""


@pytest.mark.real
@pytest.mark.timeout(400)
async def test_the_brake_engages_when_false_kills_require_it_and_the_rollout_recovers(
    tmp_path: Path,
) -> None:
    flags = tmp_path / "rollout.yaml"
    flags.write_bytes(flags_file())
    histories = ClientHistories([*old_release(USERS), *new_release(USERS)])
    old, new = split(histories)
    settings = settings_value(FACTOR, str(tmp_path / "ledger.db"))
    with captured_log() as log:
        async with (
            demo_service(settings, [histories], flags) as service,
            service.clients(old, FACTOR) as clients,
        ):
            newcomers = service.clients(new, FACTOR)
            operator = ReleasingOperator(
                service, flags, histories, new, newcomers, patience=PATIENCE
            )
            assert await unless(operator.take(STEPS), clients.died())
            record = await asyncio.to_thread(read_record, service)
            pauses = service.shim.driver.pauses
    findings = judge(RolloutEvidence(operator.progress, record, old, new, pauses))
    lag = f"the clients' process lagged {clients.lag} s"
    assert [finding for finding in findings if not finding.ok] == [], lag
    assert histories.failures == []
    unforeseen = [e for e in log.errors if not e.startswith(FORESEEN) and HUNG_UP not in e]
    assert unforeseen == []
    assert _what_the_ledger_tells(record) == [
        *("off -> shadow", "shadow -> live", "refused", "shadow -> live"),
        *("brake engaged", "live -> shadow", "brake released", "shadow -> live"),
    ]


def _what_the_ledger_tells(record: LedgerRecord) -> list[str]:
    """What changed, in this order; connections that moved together are told once."""
    told = [(row.at, f"{row.before} -> {row.after}") for row in record.stages]
    told += [(row.at, "refused") for row in record.flags if row.problem is not None]
    for brake in record.brakes:
        text = "brake engaged" if brake.engaged else "brake released"
        told.append((brake.at, text))
    return [text for text, _ in groupby(text for _, text in sorted(told, key=lambda each: each[0]))]


@pytest.mark.parametrize("users", [36, 200, 1000])
def test_every_file_has_clients_for_every_stage_that_it_names(users: int) -> None:
    dropped = [c for c in old_release(users) if c.behaviour is ClientBehaviour.DROPPED]
    for clients in (dropped, new_release(users)):
        for content, wanted in FILES:
            targeting = parse_flags(content, "flags")
            stages = {targeting.evaluate(client.user).stage for client in clients}
            assert wanted <= stages <= {Stage.SHADOW, Stage.LIVE}
            assert all(targeting.evaluate(client.user).by_percentage for client in clients)
    assert {client.kind for client in dropped} == set(Kind)


def test_at_first_everybody_is_off() -> None:
    targeting = parse_flags(flags_file(), "flags")
    assert {targeting.evaluate(client.user).stage for client in old_release(200)} == {Stage.OFF}


def test_the_brake_is_a_real_service_s_divided() -> None:
    value = settings_value(FACTOR, "/tmp/ledger.db")
    assert value["brake"] == {"window": "45000.000ms"}
    assert value["guard"]["window"] == "1500.000ms"
    assert value["gate"] == {"grain": "500.000ms"}
    assert (LIMITS.window, GRAIN) == (45 * SECOND, SECOND // 2)
    assert (LIMITS.count, LIMITS.share, LIMITS.spread) == (5, 0.01, 3)
