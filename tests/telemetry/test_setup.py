"""What `serve` sets up, seen from the collector: both protocols, the environment, and bad collectors."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shim.model import InputError
from shim.settings.sections import TelemetrySettings
from shim.telemetry import Tracing, tracing
from shim.telemetry import attributes as names
from shim.telemetry.delivery import Delivery
from tests.telemetry.collectors import (
    COLLECTORS,
    Certificate,
    bad_collector,
    grpc_collector,
    http_collector,
    unused_port,
)
from tests.waiting import wait_for

PROTOCOLS = ["grpc", "http"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own tracing."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    # The HTTP client prefers it to the certificate that it is given.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def settings(endpoint: str | None, protocol: str = "grpc", **others: object) -> TelemetrySettings:
    return TelemetrySettings.model_validate(
        {"endpoint": endpoint, "protocol": protocol, **others}, strict=False
    )


def make_spans(made: Tracing, count: int, keep: bool = True) -> None:
    tracer = made.provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span {number}", attributes={names.KEEP: keep}).end()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_arrive(protocol: str) -> None:
    with COLLECTORS[protocol]() as (endpoint, received):
        with tracing(settings(endpoint, protocol, service_name="my shim")) as made:
            assert made is not None
            make_spans(made, 1000)
        assert {span.name for span in received.spans} == {f"span {n}" for n in range(1000)}
        assert len(received.spans) == 1000
        assert made.delivery.sent == 1000
        assert made.delivery.dropped == 0
        resource = received.resources[0]
        assert resource["service.name"] == "my shim"
        assert {"service.version", "service.instance.id"} <= resource.keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_environment_wins(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "http" if protocol == "grpc" else "grpc"
    standard = "grpc" if protocol == "grpc" else "http/protobuf"
    with COLLECTORS[protocol]() as (endpoint, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", standard)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "from the environment")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
        with tracing(settings("http://127.0.0.1:1", wrong)) as made:
            assert made is not None
            make_spans(made, 1)
        assert [span.name for span in received.spans] == ["span 0"]
        assert received.headers["x-tenant"] == "blue"
        assert received.resources[0]["service.name"] == "from the environment"
        assert received.resources[0]["deployment.environment.name"] == "prod"


def test_endpoint_of_traces_alone_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_collector() as (endpoint, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{endpoint}/here")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
        with tracing(settings(None)) as made:
            assert made is not None
            make_spans(made, 1)
        assert received.headers["path"] == "/here"


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}],
)
def test_nothing_is_set_up_that_nobody_wants(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = threading.active_count()
    with tracing(settings("http://127.0.0.1:1" if environment else None)) as made:
        assert made is None
        assert threading.active_count() == before


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("collector:4317", "telemetry.endpoint is 'collector:4317'"),
        ("http://", "telemetry.endpoint"),
        ("http://[::1", "telemetry.endpoint"),
        ("http://host:99999", "telemetry.endpoint"),
    ],
)
def test_bad_input_is_refused_in_plain_words(endpoint: str, words: str) -> None:
    with (
        pytest.raises(InputError, match="(?i)" + words.replace(".", r"\.")),
        tracing(settings(endpoint)),
    ):
        pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_comes_later_gets_everything(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = unused_port()
    with tracing(settings(f"http://127.0.0.1:{port}", protocol, timeout="500ms")) as made:
        assert made is not None
        make_spans(made, 10)
        wait_for(lambda: not made.delivery.answers)
        with COLLECTORS[protocol](port) as (_, received):
            wait_for(lambda: made.delivery.sent == 10)
            make_spans(made, 1)
            assert made.delivery.force_flush()
            assert len(received.spans) == 11
    first, second = lines(caplog)
    assert first.startswith(f"traces: the collector at 127.0.0.1:{port} takes no spans: ")
    assert second.endswith("takes spans again; 0 were dropped meanwhile")


def dead() -> Iterator[str]:
    yield f"http://127.0.0.1:{unused_port()}"


def silent() -> Iterator[str]:
    with bad_collector(None) as endpoint:
        yield endpoint


def rubbish() -> Iterator[str]:
    with bad_collector(b"\x00\xff" * 400) as endpoint:
        yield endpoint


def unknown() -> Iterator[str]:
    yield "http://collector.invalid:4317"


def refusing() -> Iterator[str]:
    with http_collector(status=400) as (endpoint, _):
        yield endpoint


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("collector", [dead, silent, rubbish, unknown, refusing])
def test_a_bad_collector_is_one_line(
    collector: Callable[[], Iterator[str]],
    protocol: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[bool] = []
    send = Delivery._send

    def counted(delivery: Delivery, batch: list[ReadableSpan]) -> bool:
        attempts.append(send(delivery, batch))
        return attempts[-1]

    monkeypatch.setattr(Delivery, "_send", counted)
    endpoints = collector()
    with tracing(settings(next(endpoints), protocol, timeout="300ms")) as made:
        assert made is not None
        make_spans(made, 700)
        # Further attempts fail, too, and are not worth a line.
        wait_for(lambda: attempts[:3] == [False] * 3)
        assert len(lines(caplog)) == 1
        assert "takes no spans: " in lines(caplog)[0]
        assert "no reason was given" not in lines(caplog)[0]
    assert (made.delivery.sent, made.delivery.dropped) == (0, 700)
    assert len(lines(caplog)) == 2
    assert "traces: 700 spans did not reach the collector at " in lines(caplog)[1]
    next(endpoints, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("collector", [dead, silent])
def test_leaving_takes_2_seconds_at_most(
    collector: Callable[[], Iterator[str]], protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints = collector()
    with tracing(settings(next(endpoints), protocol, timeout="60s")) as made:
        assert made is not None
        make_spans(made, 700)
        started = time.monotonic()
    assert time.monotonic() - started < 20, "not the 60 s of the exporter"
    assert made.delivery.dropped == 700
    assert ["700 spans did not reach" in line for line in lines(caplog)] == [True]
    next(endpoints, None)


def test_the_oldest_are_dropped_when_too_many_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    port = unused_port()
    with tracing(settings(f"http://127.0.0.1:{port}", timeout="500ms")) as made:
        assert made is not None
        make_spans(made, 1)
        wait_for(lambda: not made.delivery.answers)
        make_spans(made, 250)
        assert made.delivery.dropped + made.delivery.queued == 251
        with grpc_collector(port) as (_, received):
            wait_for(lambda: made.delivery.answers)
            assert made.delivery.force_flush()
            # 100 wait, and a batch may have been on its way when the spans were made.
            dropped = made.delivery.dropped
            assert 100 <= 251 - dropped < 150
            names = [f"span {n}" for n in range(dropped - 1, 250)]
            assert [span.name for span in received.spans] == names
    assert lines(caplog)[-1].endswith(f"takes spans again; {dropped} were dropped meanwhile")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_certificate_that_is_not_trusted(
    protocol: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, other = (Certificate.make(tmp_path, name) for name in ("good", "other"))
    for trusted, arrived in ((good, 5), (other, 0)):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(trusted.file))
        with COLLECTORS[protocol](certificate=good) as (endpoint, received):
            with tracing(settings(endpoint, protocol)) as made:
                assert made is not None
                make_spans(made, 5)
                delivery = made.delivery
                wait_for(lambda: delivery.sent == 5 or not delivery.answers)  # noqa: B023
            assert len(received.spans) == arrived
    assert "takes no spans" in lines(caplog)[0]


class Halting(SpanExporter):
    """Takes spans when `go_on` is set."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.began.set()
        self.go_on.wait()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


def test_spans_that_are_being_sent_count_as_queued() -> None:
    exporter, provider = Halting(), TracerProvider(shutdown_on_exit=False)
    delivery = Delivery(exporter, "collector", batch=3)
    provider.add_span_processor(delivery)
    made = Tracing(provider, delivery)
    make_spans(made, 3)
    assert exporter.began.wait(30)
    assert (delivery.queued, delivery.sent) == (3, 0)
    make_spans(made, 1)
    assert delivery.queued == 4
    exporter.go_on.set()
    assert delivery.force_flush()
    assert (delivery.queued, delivery.sent) == (0, 4)
    provider.shutdown()
