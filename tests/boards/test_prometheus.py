"""Debian's Prometheus scrapes the shim: every expression has data, every exemplar has its trace."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from shim.model import SECOND
from tests.boards.prometheus import (
    BOARDS,
    Prometheus,
    board_expressions,
    program,
    prometheus,
    promtool,
    rule_expressions,
)
from tests.boards.story import Scene, play, scene
from tests.live.servers import OPERATOR
from tests.telemetry.collectors import Received, grpc_collector
from tests.waiting import until

pytestmark = pytest.mark.real
WAIT = 40


async def test_every_expression_has_data_and_every_exemplar_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("prometheus")
    monkeypatch.setattr("shim.runtime.coordinator.INTERVAL", 2 * SECOND)
    with grpc_collector() as (endpoint, received):
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            scene(tmp_path, endpoint) as it,
            prometheus(tmp_path, it.targets, http) as prom,
        ):
            await play(it, http)
            await _all_have_data(prom)
            await _exemplars_resolve(prom, received)
            await _alerts_are_raised(prom, it)
            await _metrics_are_clean(it, http)


async def _all_have_data(prom: Prometheus) -> None:
    missing = [pair for board in BOARDS for pair in board_expressions(board)]
    missing += rule_expressions()
    assert len(missing) > 70
    deadline = time.monotonic() + WAIT
    while missing and time.monotonic() < deadline:
        missing = [(name, expr) for name, expr in missing if not await prom.has_data(expr)]
        await asyncio.sleep(1)
    assert missing == []


async def _exemplars_resolve(prom: Prometheus, received: Received) -> None:
    now = time.time()
    for metric in ("shim_verdicts_total", "shim_skew_seconds_bucket"):
        found = await prom.get(
            "query_exemplars", query=metric, start=str(now - 600), end=str(now + 600)
        )
        exemplars = [exemplar for series in found for exemplar in series["exemplars"]]
        ids = {exemplar["labels"]["trace_id"] for exemplar in exemplars}
        assert ids, metric
        await until(lambda ids=ids: ids <= _episodes(received), WAIT)


def _episodes(received: Received) -> set[str]:
    return {span.trace_id.hex() for span in received.spans if span.name.startswith("episode ")}


async def _alerts_are_raised(prom: Prometheus, it: Scene) -> None:
    _, rash, broken = it.targets
    alerts = [alert["labels"] for alert in (await prom.get("alerts"))["alerts"]]
    raised = {(alert["alertname"], alert.get("instance")) for alert in alerts}
    assert ("ShimCandidateQuarantined", broken) in raised
    assert ("ShimMonitorFailures", broken) in raised
    assert ("ShimFalseKills", rash) in raised
    assert not {"ShimAbsent", "ShimDown"} & {name for name, _ in raised}


async def _metrics_are_clean(it: Scene, http: aiohttp.ClientSession) -> None:
    for target in it.targets:
        headers = {"Accept": "text/plain", **OPERATOR}
        async with http.get(f"http://{target}/metrics", headers=headers) as answer:
            text = await answer.read()
        assert await asyncio.to_thread(promtool, "check", "metrics", stdin=text) == (0, "")
