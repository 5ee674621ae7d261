"""Replays for tests: events in, the contract's answer out."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from shim.capture.format import Event
from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.model import Kind, Monitors, MonitorType, Role, VerdictKind
from shim.replay.replay_engine import Replay, ReplaySettings
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings
from tests.oracle.replay_oracle import OracleSettings


def expected_rules(settings: OracleSettings) -> ExpectedRules:
    rules = [
        ExpectedRule(
            rule.name,
            "a test",
            rule.until,
            None if rule.kind is None else VerdictKind(rule.kind),
            rule.recovered,
            None if rule.connection_kind is None else Kind(rule.connection_kind),
            rule.skew,
            rule.package,
        )
        for rule in settings.expected
    ]
    return ExpectedRules(rules, settings.started)


def replay_settings(
    settings: OracleSettings | None = None,
    control: tuple[MonitorType, Any] | None = None,
    candidate: tuple[MonitorType, Any] | None = None,
) -> ReplaySettings:
    settings = settings or OracleSettings()
    control = control or (
        LegacyGlobal(),
        LegacySettings(settings.control_interval, settings.control_timeout),
    )
    candidate = candidate or (
        PerSession(),
        PerSessionSettings(
            timeout=settings.candidate_timeout, stall_threshold=settings.stall_threshold
        ),
    )
    return ReplaySettings(
        Monitors(control, candidate),
        settings.tolerance,
        settings.window,
        settings.return_window,
        expected_rules(settings),
    )


def decode(events: Iterable[dict[str, Any]]) -> list[Event]:
    decoder = msgspec.json.Decoder(Event)
    return [decoder.decode(msgspec.json.encode(event)) for event in events]


def replay(
    events: Sequence[dict[str, Any]],
    settings: OracleSettings | ReplaySettings | None = None,
    acting: str = "control",
) -> dict[str, Any]:
    if not isinstance(settings, ReplaySettings):
        settings = replay_settings(settings)
    engine = Replay(settings, None if acting == "none" else Role(acting))
    engine.feed(decode(events))
    assert engine.ended
    assert not engine.result.failures
    return engine.result.as_dict()
