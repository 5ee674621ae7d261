"""`OTEL_…` variables with any value never stop a service, and each bad one is one warning."""

import os
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from shim.settings.sections import TelemetrySettings
from shim.telemetry import tracing

ENDPOINT = "http://127.0.0.1:1"


def names_in_the_sdk() -> set[str]:
    """Every variable that OpenTelemetry's API, SDK and exporters name."""
    spec = find_spec("opentelemetry")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    found: set[str] = set()
    for folder in spec.submodule_search_locations:
        for file in Path(folder).rglob("*.py"):
            if "semconv" not in file.parts:
                found |= set(re.findall(r"\bOTEL_[A-Z0-9_]+[A-Z0-9]\b", file.read_text()))
    return found


NAMES = sorted(names_in_the_sdk())
VALUES = [
    "",
    "  ",
    "rubbish",
    "none",
    "-1",
    "9" * 30,
    "1e400",
    "nan",
    "\x1b[31m\n",
    "\udcff=,;",
    "x" * 100_000,
]
LIMITS = [name for name in NAMES if name.endswith("_LIMIT")]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def settings(protocol: str, endpoint: str | None = ENDPOINT) -> TelemetrySettings:
    facts = {"endpoint": endpoint, "protocol": protocol}
    return TelemetrySettings.model_validate(facts, strict=False)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_each_variable_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str, protocol: str
) -> None:
    assert len(NAMES) > 50
    for name in NAMES:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with tracing(settings(protocol)) as made:
                on = name == "OTEL_TRACES_EXPORTER" and value == "none"
                assert (made is None) == on
            assert os.environ.get(name) == value or name.endswith("_PROVIDER")
        assert not [line for line, count in Counter(warnings(caplog)).items() if count > 1]
        assert all(record.exc_info is None for record in caplog.records)
        caplog.clear()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_all_variables_together(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "rubbish")
    with tracing(settings(protocol)) as made:
        assert made is not None
    told = warnings(caplog)
    for name in (*LIMITS[:1], "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY"):
        assert sum(line.startswith(f"the variable {name} is left out: ") for line in told) == 1


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"]
)
def test_no_compression_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, protocol: str
) -> None:
    monkeypatch.setenv(name, "none")
    with tracing(settings(protocol)) as made:
        assert made is not None
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"}, "is 'ftp://x'; it has to look like"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"}, "is 'x'; it has to look like"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://a:secret@x"}, "is not such an address; it has"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "there are grpc and http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "there are otlp and none"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "not a whole number from 1 to"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "not a number of seconds above 0"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "rar"}, "rar"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/file"}, "there is no file /no/file"),
        ({"OTEL_SPAN_LINK_COUNT_LIMIT": "many"}, "is left out"),
    ],
)
def test_a_bad_variable_is_one_warning_and_the_settings_decide(
    environment: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with tracing(settings("grpc")) as made:
        assert made is not None
    (line,) = warnings(caplog)
    assert line.startswith(f"the variable {name} is left out: ")
    assert words in line
    with tracing(settings("grpc", endpoint=None)) as made:
        assert made is None


@pytest.mark.real
def test_all_variables_are_set_when_the_shim_is_imported() -> None:
    environment = {**os.environ, **dict.fromkeys(NAMES, "rubbish")}
    code = "import shim.aio, shim.telemetry, opentelemetry.sdk.trace"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
