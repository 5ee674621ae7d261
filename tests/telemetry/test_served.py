"""Traces of a server that serves: over both protocols, and without a collector."""

import re
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.live.servers import QUICK, app_client, server_process
from tests.telemetry.collectors import COLLECTORS, Received, bad_collector, values
from tests.telemetry.test_otel_environment import NAMES
from tests.waiting import until

pytestmark = pytest.mark.real

USER = "alice@example.com"


def seconds(span: Span) -> float:
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9


def named(received: Received, name: str) -> Span:
    (span,) = received.named(name)
    return span


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_an_episode_of_a_real_client(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In live: the client falls silent, the candidate closes it, it comes back, the control agrees."""
    with COLLECTORS[protocol]() as (endpoint, received):
        standard = "grpc" if protocol == "grpc" else "http/protobuf"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", standard)
        async with (
            server_process(tmp_path, "live") as server,
            aiohttp.ClientSession() as http,
        ):
            # Without automatic pongs this client is silent, and it does not answer the close either.
            silent = await app_client(http, server.url, USER, autoping=False, autoclose=False)
            await until(lambda: decided(tmp_path), 30)
            back = await app_client(http, server.url, USER)
            await until(lambda: received.named("returned"), 30)
            await until(lambda: received.named("closing"), 30)
            await silent.close()
            await back.close()
        assert server.process.returncode == 0
    root = received.named("episode matched")[0]
    attributes = values(root.attributes)
    assert attributes["shim.verdict"] == "matched"
    assert attributes["shim.acting"] == "candidate"
    assert attributes["shim.stage"] == "live"
    assert attributes["shim.package"] == "com.example.app1"
    assert USER not in str(received.spans), "users are pseudonyms"
    children = {span.name: span for span in received.spans if span.parent_span_id == root.span_id}
    assert {"candidate silence", "control silence", "closing", "returned"} <= set(children)
    assert {span.trace_id for span in children.values()} == {root.trace_id}
    candidate, control = children["candidate silence"], children["control silence"]
    assert root.start_time_unix_nano == candidate.start_time_unix_nano
    assert root.start_time_unix_nano == control.start_time_unix_nano
    assert root.end_time_unix_nano == control.end_time_unix_nano
    assert seconds(control) - seconds(candidate) == pytest.approx(
        attributes["shim.skew_seconds"], abs=1e-6
    )
    assert children["closing"].start_time_unix_nano == candidate.end_time_unix_nano
    assert children["returned"].start_time_unix_nano == candidate.end_time_unix_nano
    registrations = {span.trace_id: span for span in received.named("registration")}
    (link,) = root.links
    assert attributes["shim.registration.trace_id"] == link.trace_id.hex()
    registration = values(registrations[link.trace_id].attributes)
    assert registrations[link.trace_id].span_id == link.span_id
    assert registration["shim.connection"] == attributes["shim.connection"]
    assert registration["feature_flag.result.variant"] == "live"
    assert registration["feature_flag.set.id"].endswith("rollout.yaml")
    assert root.status.code == Status.STATUS_CODE_UNSET


def decided(folder: Path) -> bool:
    return "timed out" in (folder / "serve.log").read_text()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_the_shim_serves_on_while_the_collector_hangs(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with bad_collector(None) as endpoint:
        settings = f"telemetry: {{endpoint: '{endpoint}', protocol: {protocol}}}"
        async with (
            server_process(tmp_path, "live", settings) as server,
            aiohttp.ClientSession() as http,
        ):
            client = await app_client(http, server.url, USER)
            await until(lambda: "takes no spans" in (tmp_path / "serve.log").read_text(), 60)
            for _ in range(3):
                other = await app_client(http, server.url, "bob@example.com")
                await other.close()
            # Their ends are noticed, and the other client is served as ever.
            await client.send_str('{"type": "heartbeat"}')

            async def is_alone() -> bool:
                return bool((await server.report())["connections"]["open"] == 1)

            await until(is_alone)
            report = await server.report()
            assert report["failures"] == {"control": 0, "candidate": 0}
            await client.close()
        assert server.process.returncode == 0, "it ended by itself within 10 s"
    said = [line for line in (tmp_path / "serve.log").read_text().splitlines() if "traces:" in line]
    assert len(said) == 2
    assert "takes no spans" in said[0]
    assert "did not reach the collector" in said[1]
    assert "Traceback" not in (tmp_path / "serve.log").read_text()


async def test_an_address_that_can_never_work_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    async with server_process(tmp_path):
        pass
    log = (tmp_path / "serve.log").read_text()
    assert log.count("the variable OTEL_EXPORTER_OTLP_ENDPOINT is left out: ") == 1
    assert "has to look like http://collector:4317" in log
    assert "Traceback" not in log


async def test_no_variable_of_a_platform_stops_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "rubbish")
    async with server_process(
        tmp_path, settings=f"{QUICK}\ntelemetry: {{endpoint: 'http://127.0.0.1:1'}}"
    ):
        pass
    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log
    told = re.findall(r"the variable (OTEL_\w+) is left out: ", log)
    assert {"OTEL_PYTHON_METER_PROVIDER", "OTEL_PYTHON_TRACER_PROVIDER"} <= set(told)
    assert len(told) == len(set(told))
