"""Clients of every behaviour at every stage, against a running service: what happens to each of them."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from shim.demo.client_history import ClientHistories
from shim.demo.demo_run import captured_log, unless
from shim.demo.demo_service import DemoService, demo_service
from shim.demo.demo_settings import FACTOR
from shim.ledger.protocols import VerdictFilter
from shim.model import Stage, VerdictName
from tests.demo.matrix import LENGTH, MATRIX_FLAGS, matrix_clients, matrix_settings
from tests.demo.matrix_checks import Totals, judge, judge_report
from tests.telemetry.collectors import grpc_collector, values

_FLUSH = 5.0
USERS = 48
MOST_LENGTHS = 3
"""On a busy machine the clients begin late. What must not happen must not happen in all that time."""


@pytest.mark.real
@pytest.mark.timeout(300)
async def test_what_happens_to_every_behaviour_at_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = ClientHistories(matrix_clients(USERS))
    settings = matrix_settings(FACTOR, str(tmp_path / "ledger.db"))
    with grpc_collector() as (endpoint, received), captured_log() as log:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with (
            demo_service(settings, [histories], MATRIX_FLAGS) as service,
            service.clients(histories.all, FACTOR) as clients,
        ):
            for _ in range(MOST_LENGTHS):
                assert await unless(asyncio.sleep(LENGTH / FACTOR), clients.died())
                if not (objections := await _objections(service, histories)):
                    break
            trace = await asyncio.to_thread(_trace_of_a_mismatch, service)
        spans = {span.trace_id.hex(): span for span in received.named("episode mismatched")}
    assert objections == [], f"the clients' process lagged {clients.lag} s"
    assert histories.failures == []
    assert log.errors == []
    # Both monitors decide alike about apps with the SDK; only what the apps do differs.
    apps = {
        stage: [h for h in histories.sdk_apps if _stage(h.client.user) is stage] for stage in Stage
    }
    for stage in (Stage.LIVE, Stage.COMPLETE):
        assert apps[stage]
        assert all(app.away_after == "1001" for app in apps[stage])
    for stage in (Stage.OFF, Stage.SHADOW):
        assert apps[stage]
        assert not any(app.away for app in apps[stage])
    assert trace is not None
    assert values(spans[trace].attributes)["shim.recovered"] is True


def _stage(user: str) -> Stage:
    return MATRIX_FLAGS.evaluate(user).stage


async def _objections(service: DemoService, histories: ClientHistories) -> list[str]:
    """What speaks against the cells, and against the service's own report."""
    before = Totals.of(histories.all)
    operator = {"Authorization": f"Bearer {service.secrets.operator_token}"}
    async with (
        aiohttp.ClientSession(headers=operator) as http,
        http.get(f"{service.url}/api/report") as answer,
    ):
        report = await answer.json()
    objections = judge_report(report, before, Totals.of(histories.all))
    assert report["agreement"]["conclusive"] > 0
    results = judge(histories.all, FACTOR, service.shim.driver.pauses)
    assert len(results) == 24
    for result in results:
        cell = f"{result.cell.behaviour} at {result.cell.stage}"
        objections += [f"{cell}: {text} ({result.happened})" for text in result.objections]
    return objections


def _trace_of_a_mismatch(service: DemoService) -> str | None:
    """Of the last one that the client survived, once ledger and collector have everything."""
    service.shim.assembly.records.ledger.flush(_FLUSH)
    which = VerdictFilter(verdict=VerdictName.MISMATCHED, recovered=True)
    rows = service.shim.assembly.reader.verdicts(which, limit=1).rows
    assert rows
    tracing = service.shim.assembly.records.tracing
    assert tracing is not None
    assert tracing.provider.force_flush(int(_FLUSH * 1000))
    return rows[0].trace
