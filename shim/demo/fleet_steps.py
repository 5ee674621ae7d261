"""The steps of the demo's rollout on a fleet, as data: what the operator does, and what has to come of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from shim.demo.demo_clients import TIMEOUT
from shim.demo.demo_settings import BAD_TIMEOUT, BETTER_CODE, settings_value
from shim.demo.fleet_operator import FleetOperator
from shim.demo.step_taker import RolloutStep
from shim.model import Role, Stage

FleetStep = RolloutStep[FleetOperator]

RELEASE_REASON = f"the candidate waits for {TIMEOUT:g} s again"

_AGREED = 5
_RETURNED = 3
_RETURNED_AGAIN = 6
"""Apps that came back after the candidate had closed their connection, before the bad step and after it."""

_INPUT_ERROR, _INSUFFICIENT = 2, 3
"""Exit codes of the commands."""


def fleet_settings(factor: float, candidate_timeout: float = TIMEOUT) -> dict[str, Any]:
    """The settings of all processes, apart from what the store and each process add."""
    settings = settings_value(
        factor, "", close_code=BETTER_CODE, candidate_timeout=candidate_timeout
    )
    plan = [
        {"percent": {"shadow": 100}, "soak": "2s", "require": ["failures"]},
        {"percent": {"live": 50, "shadow": 50}, "soak": "7d", "require": ["agreement", "returns"]},
    ]
    return {**settings, "promotion": {"steps": plan}}


OFF: FleetStep = RolloutStep(
    title="off for everybody",
    goal="all clients are connected",
    explanation=(
        "The clients connect to the three processes by turns, as behind a load balancer. In each process the "
        "control watches alone."
    ),
    share=0.05,
    begin=lambda operator: operator.push("begin"),
    reached=lambda operator: (
        operator.all_connected and operator.alike and operator.only_at(Stage.OFF)
    ),
)
SHADOW: FleetStep = RolloutStep(
    title="shadow for everybody",
    goal="both monitors agree, in all processes",
    explanation=(
        "The operator brings a flags file into the store. All three processes follow within two seconds: the "
        "candidate decides, too, but only the control closes connections."
    ),
    share=0.15,
    begin=lambda operator: operator.push("watch the candidate", shadow=100),
    reached=lambda operator: (
        operator.alike
        and operator.only_at(Stage.SHADOW)
        and operator.matched >= _AGREED
        and operator.apps_returned(Role.CONTROL) >= _RETURNED
    ),
)
TRUNCATED: FleetStep = RolloutStep(
    title="a truncated flags file",
    goal="refused, nothing changes",
    explanation="Somebody pushes a flags file that is cut off. It does not get into the store.",
    share=0.02,
    begin=lambda operator: operator.push_truncated(),
    reached=lambda operator: (
        operator.codes["flags push"] == _INPUT_ERROR
        and operator.alike
        and operator.only_at(Stage.SHADOW)
    ),
)
LIVE: FleetStep = RolloutStep(
    title="live for 50 %",
    goal="apps that the candidate closed come back",
    explanation=(
        "The operator takes the next step of the plan. For half of the users the candidate closes connections "
        "now. Clients come back to another process than the one that closed them; for the fleet they have come "
        "back."
    ),
    share=0.15,
    begin=lambda operator: operator.advance(),
    reached=lambda operator: (
        operator.alike
        and operator.only_at(Stage.LIVE, Stage.SHADOW)
        and operator.apps_returned(Role.CANDIDATE) >= _RETURNED
    ),
)
RELEASED: FleetStep = RolloutStep(
    title="brake released, live for 50 % again",
    goal="apps that the candidate closed come back",
    explanation=(
        "The operator releases the brake, once for all processes, with a reason. The flags have not changed: "
        "half of the users are at live again."
    ),
    share=0.15,
    begin=lambda operator: operator.release_brake(RELEASE_REASON),
    reached=lambda operator: (
        operator.alike
        and operator.only_at(Stage.LIVE, Stage.SHADOW)
        and operator.apps_returned(Role.CANDIDATE) >= _RETURNED_AGAIN
    ),
)
GATE: FleetStep = RolloutStep(
    title="may the control go?",
    goal="the gate says what is missing",
    explanation=(
        "The gate judges the record of all three processes. The present trial began with the release of the "
        "brake, and a trial takes a week."
    ),
    share=0.0,
    begin=lambda operator: operator.ask_gate(),
    reached=lambda operator: operator.codes["gate"] == _INSUFFICIENT,
)


def fleet_steps(factor: float) -> Sequence[FleetStep]:
    """All steps, for processes with these settings."""
    bad, good = (_candidate(factor, timeout) for timeout in (BAD_TIMEOUT, TIMEOUT))
    mistake: FleetStep = RolloutStep(
        title="a deploy with a mistake",
        goal="all processes have the new settings",
        explanation=(
            f"Somebody sets the candidate's timeout to {BAD_TIMEOUT:g} s instead of {TIMEOUT:g} s, and "
            "restarts the processes one after the other. Some clients are silent for longer than that, "
            "and alive."
        ),
        share=0.0,
        begin=lambda operator: operator.deploy(bad),
        reached=lambda operator: operator.alike and operator.all_restarted,
    )
    braked: FleetStep = RolloutStep(
        title="false kills",
        goal="the brake is engaged, and all three processes are at shadow",
        explanation=(
            "In each process one user is hit: too little for any of them to engage its brake. But one of "
            "them judges the record of all three, and engages the brake of the fleet."
        ),
        share=0.05,
        begin=lambda operator: None,
        reached=lambda operator: operator.braked and operator.only_at(Stage.SHADOW),
    )
    repaired: FleetStep = RolloutStep(
        title="a deploy with the repair",
        goal="all clients are back, brake still engaged",
        explanation=(
            f"The operator sets the timeout to {TIMEOUT:g} s again, and restarts the processes one after the "
            "other. The brake stays engaged until somebody releases it."
        ),
        share=0.0,
        begin=lambda operator: operator.deploy(good),
        reached=lambda operator: (
            operator.alike
            and operator.all_restarted
            and operator.braked
            and operator.only_at(Stage.SHADOW)
        ),
    )
    return (OFF, SHADOW, TRUNCATED, LIVE, mistake, braked, repaired, RELEASED, GATE)


def _candidate(factor: float, timeout: float) -> Mapping[str, Any]:
    """What a deploy changes."""
    return {"monitors": fleet_settings(factor, timeout)["monitors"]}
