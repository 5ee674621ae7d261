"""What is known of the service's clients and of the candidate's settings, where it matters to the rollout.

A candidate that closes with a code after which clients (`clients` in the settings) stay away loses them,
however right its decisions are (docs/design.md#purpose). A candidate takes a short pause of the server for
silence of the clients (docs/design.md#r3), so its timeout has to be longer than such a pause.
"""

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
    """All that is to be said of the candidate before these flags come into force."""
    warnings = pause_warning(settings), close_code_warning(settings, targeting)
    return [warning for warning in warnings if warning is not None]


def pause_warning(settings: "Settings") -> str | None:
    """A warning if a pause of the server can be as long as the candidate's timeout, and still not count as
    a pause (R3: docs/design.md#r3)."""
    candidate = settings.monitors.candidate.settings
    timeout, threshold = (getattr(candidate, key, None) for key in ("timeout", "stall_threshold"))
    if not isinstance(timeout, int) or not isinstance(threshold, int) or timeout >= threshold:
        return None
    return (
        f"the candidate closes after a silence of {format_duration(timeout)} (monitors.candidate.timeout), and "
        f"takes pauses of the server of up to {format_duration(threshold)} for silence "
        "(monitors.candidate.stall_threshold): after a pause between the two it may close every connection; "
        "make stall_threshold shorter than timeout"
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
