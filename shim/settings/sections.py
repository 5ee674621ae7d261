"""The sections of the settings, each default in one place with its description.

Durations are whole microseconds here and `15s` in the file.

Rules: docs/design.md#r5, docs/design.md#r6b, docs/design.md#r8, docs/design.md#r9, docs/design.md#r10,
docs/design.md#r13, docs/design.md#r15, docs/design.md#r16, docs/design.md#r22.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)

from shim.compare.expected_rules import ExpectedRule
from shim.model import SECOND, Kind, Monitors, VerdictKind
from shim.model.time import DAY
from shim.settings.faults import Fault, duplicate_names
from shim.settings.fields import (
    AnyDuration,
    Count,
    Day,
    Grain,
    ListOf,
    Network,
    Port,
    PositiveDuration,
    Section,
    Share,
    SkewRange,
    Text,
    read_by,
    read_word,
)
from shim.settings.monitors import MonitorChoice, monitor_reader

_MILLISECOND = SECOND // 1000
_MINUTE = 60 * SECOND
_LONGEST_BASE_PATH = 256


def _read_control(value: Any, info: ValidationInfo) -> MonitorChoice | None:
    return None if value is None else monitor_reader("legacy-global")(value, info)


class MonitorsSettings(Section):
    """The two monitors. Any plugin may take either role; the same in both is an A/A run."""

    control: Annotated[MonitorChoice | None, PlainValidator(_read_control)] = Field(
        default_factory=dict,
        validate_default=True,
        description="The monitor being replaced; null once it is retired.",
    )
    candidate: Annotated[MonitorChoice, PlainValidator(monitor_reader("per-session"))] = Field(
        default_factory=dict, validate_default=True, description="The monitor replacing it."
    )
    call_limit: PositiveDuration = Field(
        default=50 * _MILLISECOND,
        description="The CPU time that one call of the candidate may take; more is an error (R5).",
    )

    @property
    def chosen(self) -> Monitors:
        """The monitors as the router wants them."""
        control, candidate = self.control, self.candidate
        return Monitors(
            None if control is None else (control.type, control.settings),
            (candidate.type, candidate.settings),
        )


_MISMATCHES = (
    VerdictKind.SKEWED,
    VerdictKind.ONLY_CONTROL,
    VerdictKind.ONLY_CANDIDATE,
    VerdictKind.ERROR,
)
"""The kinds that a mismatch can be of; a rule about any other would explain nothing."""


class ExpectedRuleSettings(Section):
    """One rule; what it leaves out, or gives as null, may be anything."""

    name: Text = Field(description="What the verdicts that it explains are counted under.")
    reason: Text = Field(description="Why such mismatches are no fault of the candidate.")
    until: Day = Field(description="The last day on which the rule holds, in UTC.")
    kind: Annotated[VerdictKind, BeforeValidator(read_word(_MISMATCHES))] | None = Field(
        default=None, description="The kind of mismatch."
    )
    recovered: bool | None = Field(
        default=None, description="Whether the client proved to be alive (R9)."
    )
    connection_kind: Annotated[Kind, BeforeValidator(read_word(Kind))] | None = Field(
        default=None, description="What is at the other end."
    )
    skew: SkewRange | None = Field(
        default=None, description="The range of control minus candidate, both ends included."
    )
    package: Text | None = Field(default=None, description="A glob of the app's package name.")

    def rule(self) -> ExpectedRule:
        return ExpectedRule(**{name: getattr(self, name) for name in type(self).model_fields})


ExpectedRuleEntry = Annotated[
    ExpectedRule, read_by(ExpectedRuleSettings, ExpectedRuleSettings.rule)
]
"""An `ExpectedRule`, read from the keys of `ExpectedRuleSettings`."""


class ComparisonSettings(Section):
    """When two decisions are the same one, and when a client came back (section 4)."""

    tolerance: AnyDuration = Field(
        default=16 * SECOND,
        description="Decisions so far apart, or less, match (R8). A sweeping control is up to one "
        "interval later than an exact candidate.",
    )
    window: AnyDuration = Field(
        default=60 * SECOND,
        description="How long the second decision is waited for (R8, R10).",
    )
    return_window: AnyDuration = Field(
        default=120 * SECOND,
        description="A client that comes back later than this after a timeout is lost (R15).",
    )
    expected: ListOf[ExpectedRuleEntry] = Field(
        default=(), description="Mismatches that somebody has explained (R13)."
    )

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        return duplicate_names(given.get("expected"), "expected")


class GateSettings(Section):
    """What it takes to retire the control (R16)."""

    period: PositiveDuration = Field(
        default=7 * DAY,
        description="How long a trial lasts at least; what users show in its first such time is final "
        "at the end of that time.",
    )
    unit: PositiveDuration = Field(
        default=DAY,
        description="A user who first occurs later is observed for so long; a trial of this length is "
        "an attempt.",
    )
    grain: Grain = Field(
        default=_MINUTE, description="What hits many users within so long is one event."
    )
    min_timeouts: Count = Field(default=300, description="Timeouts, for each kind of connection.")
    min_users: Count = Field(default=300, description="Users, for each kind of connection.")
    min_days: Count = Field(
        default=3, description="Days with timeouts, for steps of a plan that require `days`."
    )
    min_agreement: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.99, description="The agreement that must be shown to be exceeded."
    )
    return_margin: Share = Field(
        default=0.05, description="How much lower than the control's a return rate may be."
    )
    max_proofs: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.02,
        description="The share of users whose living connection the candidate closed: it must be shown "
        "to be smaller.",
    )
    max_expected: Share = Field(
        default=0.005,
        description="The largest share of explained ones among all conclusive and explained episodes.",
    )


class BrakeSettings(Section):
    """When everyone is taken back to `shadow` (R22)."""

    window: PositiveDuration = Field(
        default=15 * _MINUTE, description="The time before now in which false kills count."
    )
    count: Count = Field(default=5, description="So many false kills, at least.")
    share: Share = Field(
        default=0.01,
        description="And significantly more than such a share of the candidate's decisions.",
    )
    spread: Count = Field(
        default=3, description="In so many different minutes (`gate.grain`), at least."
    )


class GuardSettings(Section):
    """When mass closing by the candidate is held up (R6b)."""

    window: PositiveDuration = Field(
        default=30 * SECOND, description="The time before now in which decisions count."
    )
    share: Share = Field(
        default=0.1, description="A larger share of the connections it acts for is held up."
    )
    count: Count = Field(default=20, description="If it is so many connections, at least.")
    hold: PositiveDuration = Field(
        default=30 * SECOND, description="How long a held connection has to give a sign of life."
    )


class PrivacySettings(Section):
    """Where users and sessions are named, and where by a keyed hash."""

    logs: Literal["raw", "hashed"] = Field(default="raw", description="In the log.")
    telemetry: Literal["raw", "hashed"] = Field(
        default="hashed", description="In traces and metrics."
    )


def _check_trace_url(value: str | None) -> str | None:
    if value is not None and "{trace_id}" not in value:
        raise ValueError("must say where the id goes: {trace_id}")
    return value


class TelemetrySettings(Section):
    """Where traces go. Metrics are served at /metrics in any case."""

    service_name: Text = Field(default="shim", description="The name in tracing systems.")
    endpoint: Text | None = Field(
        default=None,
        description="An OTLP collector, like http://127.0.0.1:4317; null: no traces are sent.",
    )
    protocol: Literal["grpc", "http"] = Field(default="grpc", description="The collector's.")
    timeout: PositiveDuration = Field(
        default=2 * SECOND,
        description="How long an export may take.",
    )
    matched_share: Share = Field(
        default=1.0,
        description="The share of matched episodes and routine spans that are traced; all other "
        "episodes always are.",
    )
    trace_url: Annotated[Text | None, AfterValidator(_check_trace_url)] = Field(
        default=None,
        description="Where a trace is seen, with {trace_id} in its place; null: nowhere. "
        "Like http://127.0.0.1:16686/trace/{trace_id}.",
    )


class CaptureSettings(Section):
    """What happens to the connections, written down for `shim replay`."""

    file: Text | None = Field(
        default=None,
        description="The files are named after this one, with the time of their start; null: no "
        "capture.",
    )
    max_size: Count = Field(
        default=256 * 1_048_576, description="Bytes; a larger file is ended and the next begun."
    )
    max_age: PositiveDuration = Field(
        default=DAY, description="An older file is ended and the next begun."
    )
    buffer: Count = Field(
        default=32 * 1_048_576,
        description="Bytes in memory; where the disk is so much slower, the file ends early.",
    )


_BASE_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")


def is_base_path(path: str) -> bool:
    """Whether this is a plain path such as `/ops/shim`, which can be put in front of any address.

    No header, no tag and no other host can be made of it: it has letters, digits, `.`, `_`, `~` and `-`,
    no empty segment, and none that leads upwards.
    """
    return len(path) <= _LONGEST_BASE_PATH and _BASE_PATH.fullmatch(path) is not None


def _check_base_path(value: str | None) -> str | None:
    if value is not None and not is_base_path(value):
        raise ValueError("must be a path like /ops, without a slash at its end")
    return value


class AppSettings(Section):
    """One app that may connect."""

    api_key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="The SHA-256 of its API key, 64 lower-case hex digits."
    )


class AdminSettings(Section):
    """The older form of `console`: a listener of its own for the operators."""

    host: Text = Field(default="127.0.0.1", description="The address to listen on.")
    port: Port = Field(default=8081, description="The port to listen on; 0: any free one.")


class ServerSettings(Section):
    """The reference server. Its secrets come from the environment."""

    host: Text = Field(default="127.0.0.1", description="The address to listen on.")
    port: Port = Field(default=8080, description="The port to listen on; 0: any free one.")
    max_message_size: Count = Field(
        default=1_048_576, description="Bytes; a longer message ends its connection."
    )
    first_message_size: Count = Field(
        default=8192, description="Bytes within which an app has to introduce itself."
    )
    message_rate: Count = Field(
        default=1_048_576,
        description="Bytes of messages, inflated, that one connection may have read in a second; each message "
        "counts as 1 KiB more than it has. What comes faster is read later.",
    )
    compression: bool = Field(
        default=False,
        description="Whether clients may compress messages: a small one may then inflate to a large one.",
    )
    max_connections_per_user: Count = Field(
        default=20, description="More glasses and apps of one user are refused, until one has gone."
    )
    max_connections_per_app: Count = Field(
        default=10_000,
        description="More connections with one app's key are refused, until one has gone.",
    )
    count_users_without_glasses: bool = Field(
        default=False,
        description="Whether gate and brake count users of whom only apps say that they exist; on with "
        "--dev. Otherwise a user counts once glasses have shown the user's own token in this run.",
    )
    token_leeway: AnyDuration = Field(
        default=30 * SECOND,
        description="How far the clock of the issuer of glasses' and apps' tokens may differ.",
    )
    init_timeout: PositiveDuration = Field(
        default=10 * SECOND, description="An app that has not introduced itself by then is closed."
    )
    drain: AnyDuration = Field(
        default=5 * SECOND, description="The time that connections get to close at a shutdown."
    )
    apps: dict[Text, AppSettings] = Field(
        default_factory=dict, description="The apps that may connect, by package name."
    )
    admin: AdminSettings | None = Field(
        default=None, description="The older name of the section `console`, with a host and a port."
    )


@dataclass(frozen=True, slots=True)
class ConsoleAddress:
    """Where the console's own listener is to be; `key` leads to the setting that says so."""

    host: str
    port: int
    key: tuple[str, ...]


class ConsoleSettings(Section):
    """What operators see and do. Its tokens come from the environment."""

    host: Text | None = Field(
        default=None,
        description="The address of the console's own listener; null: 127.0.0.1, where there is a port.",
    )
    port: Port | None = Field(
        default=None,
        description="The port of the console's own listener, 0: any free one; null: no such listener.",
    )
    base_path: Annotated[Text | None, AfterValidator(_check_base_path)] = Field(
        default=None,
        description="The path that a proxy takes away from every address before it asks the console, "
        "like /ops; null: as a trusted proxy's header X-Forwarded-Prefix says.",
    )
    trusted_proxies: list[Network] = Field(
        default_factory=list,
        description="The addresses and networks of proxies, like 10.0.0.0/8: only their X-Forwarded-For, "
        "-Proto and -Prefix are believed.",
    )
    open_on_loopback: bool = Field(
        default=False,
        description="Whether everybody on this machine may read without a token. A proxy on this machine "
        "makes its visitors local.",
    )

    @model_validator(mode="after")
    def _check_port(self) -> Self:
        if self.host is not None and self.port is None:
            raise ValueError("a host alone makes no listener: a port is needed, too")
        return self
