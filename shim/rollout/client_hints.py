"""What is known of the service's clients and of the candidate's settings, where it matters to the rollout.

A candidate that closes with a code after which clients (`clients` in the settings) stay away loses them,
however right its decisions are (docs/design.md#purpose). A candidate takes a short pause of the server for
silence of the clients (docs/design.md#r3), so its timeout has to be longer than such a pause. A client that
only answers pings is silent from ping to ping, so a timeout has to be longer than the heartbeat interval.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from shim.clients.client_returns import ClientReturns, known_clients
from shim.clients.ending_effect import codes_for_all, effect_of
from shim.flags.targeting import Targeting, places_of_acting_candidate
from shim.gate.answer import Condition, GateAnswer, Standing
from shim.gate.evidence import Evidence
from shim.gate.judge import judge
from shim.settings.durations import format_duration

if TYPE_CHECKING:
    from shim.settings.settings import Settings

_NAMED_PLACES = 3
_RETURNS = "returns"
"""The gate's condition about clients that come back."""


def candidate_warnings(settings: "Settings", targeting: Targeting) -> list[str]:
    """All that is to be said of the monitors before these flags come into force."""
    warnings = *timeout_warnings(settings), close_code_warning(settings, targeting)
    return [warning for warning in warnings if warning is not None]


def timeout_warnings(settings: "Settings") -> Iterator[str]:
    """Warnings of timeouts after which a monitor closes clients that live (R3: docs/design.md#r3)."""
    monitors = settings.monitors
    for name, monitor in (("control", monitors.control), ("candidate", monitors.candidate)):
        timeout, interval, threshold = (
            getattr(monitor and monitor.settings, key, None)
            for key in ("timeout", "heartbeat_interval", "stall_threshold")
        )
        if not isinstance(timeout, int):
            continue
        closes = (
            f"the {name} closes after a silence of {format_duration(timeout)} "
            f"(monitors.{name}.timeout), and"
        )
        if isinstance(interval, int) and timeout <= interval:
            yield (
                f"{closes} pings each {format_duration(interval)} "
                f"(monitors.{name}.heartbeat_interval): it closes clients that only answer pings; "
                "make timeout longer than heartbeat_interval"
            )
        if isinstance(threshold, int) and timeout < threshold:
            yield (
                f"{closes} takes pauses of the server of up to {format_duration(threshold)} for silence "
                f"(monitors.{name}.stall_threshold): after a pause between the two it may close "
                "every connection; make stall_threshold shorter than timeout"
            )


def close_code_warning(settings: "Settings", targeting: Targeting) -> str | None:
    """A warning if the candidate may act with a close code after which clients of the service stay away.

    None if no user can become `live` or `complete`, or if the candidate closes in another way.
    """
    away = clients_that_stay_away(settings)
    if not away:
        return None
    places = places_of_acting_candidate(targeting)
    named = list(islice(places, _NAMED_PLACES))
    if not named:
        return None
    more = sum(1 for _ in places)
    where = ", ".join(named) + (f" and {more} more" if more else "")
    return (
        f"the candidate may act ({where}) and closes with {_close_code(settings)} "
        f"(monitors.candidate.close_code): after it {' and '.join(away)} clients stay away; "
        f"{_better(settings)}"
    )


def judge_with_hints(evidence: Evidence, settings: "Settings") -> GateAnswer:
    """The gate's answer (docs/design.md#r16); refuted returns name the clients that stay away."""
    answer = judge(evidence, settings.gate)
    away = clients_that_stay_away(settings)
    if not away:
        return answer
    hint = f"; {' and '.join(away)} stay away after {_close_code(settings)}: {_better(settings)}"

    def explain(condition: Condition) -> Condition:
        if condition.name != _RETURNS or condition.standing is not Standing.FAILED:
            return condition
        return replace(condition, missing=f"{condition.missing or ''}{hint}")

    return replace(answer, conditions=tuple(map(explain, answer.conditions)))


def clients_that_stay_away(settings: "Settings") -> tuple[str, ...]:
    """The clients of the service that do not come back after the candidate's close code."""
    code = _close_code(settings)
    return () if code is None else effect_of(code, _clients(settings)).stay_away


def _close_code(settings: "Settings") -> str | None:
    """The candidate's close code, if its effect on the clients is known."""
    code = getattr(settings.monitors.candidate.settings, "close_code", None)
    clients = _clients(settings)
    if code is None or not all(client.knows(str(code)) for client in clients):
        return None
    return str(code)


def _better(settings: "Settings") -> str:
    codes = codes_for_all(_clients(settings))
    if not codes:
        return "no close code brings all of them back"
    *others, last = codes
    return f"after {', '.join(others)}{' or ' if others else ''}{last} they come back"


def _clients(settings: "Settings") -> list[ClientReturns]:
    return [known_clients()[name] for name in settings.clients]
