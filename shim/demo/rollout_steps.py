"""The steps of the demo's rollout, as data: what the operator does, and what has to come of it."""

from collections.abc import Sequence

from shim.demo.demo_settings import BETTER_CODE, PRESCRIBED_CODE, flags_file, settings_value
from shim.demo.operator import Operator
from shim.demo.step_taker import RolloutStep
from shim.model import Role

Step = RolloutStep[Operator]

RELEASE_REASON = f"the candidate closes with {BETTER_CODE} now"

_AGREED = 5
_RETURNED = 14
"""Apps that came back after the control had closed them: enough for the brake to compare."""
_RETURNED_AGAIN = 8

OFF: Step = RolloutStep(
    title="off for everybody",
    goal="all clients are connected",
    explanation=(
        "The control watches alone. It terminates a connection that was silent for too long: the client "
        "sees code 1006."
    ),
    share=0.08,
    begin=lambda operator: None,
    reached=lambda operator: operator.all_connected and operator.placed,
)
SHADOW: Step = RolloutStep(
    title="shadow for everybody",
    goal="both monitors agree",
    explanation=(
        "The operator edits the flags file. Now the candidate watches and decides, too, but only the control "
        "closes connections. The shim compares their decisions."
    ),
    share=0.25,
    begin=lambda operator: operator.put_flags(flags_file(shadow=100)),
    reached=lambda operator: (
        operator.placed
        and operator.matched >= _AGREED
        and operator.apps_returned(Role.CONTROL) >= _RETURNED
    ),
)
TRUNCATED: Step = RolloutStep(
    title="a truncated flags file",
    goal="refused, nothing changes",
    explanation=(
        "Somebody saves a flags file that is cut off. The file is refused; the last good file stays in force."
    ),
    share=0.05,
    begin=Operator.put_truncated_flags,
    reached=lambda operator: operator.refused and operator.placed,
)
LIVE: Step = RolloutStep(
    title="live for 50 %",
    goal="the brake engages by itself",
    explanation=(
        f"For half of the users the candidate closes connections now, with code {PRESCRIBED_CODE}. The "
        "monitors still agree, but apps built on @mentra/sdk do not connect again after that code. The shim "
        "notices it and takes everybody back to shadow: that is the brake."
    ),
    share=0.25,
    begin=lambda operator: operator.put_flags(flags_file(live=50, shadow=50)),
    reached=lambda operator: operator.braked and operator.placed,
)
RELEASED: Step = RolloutStep(
    title="brake released, live for 90 %",
    goal="closed apps come back",
    explanation=(
        "The operator releases the brake and goes on. The candidate closes the same kind of connection as "
        f"before, now with {BETTER_CODE}, and the apps come back."
    ),
    share=0.25,
    begin=lambda operator: operator.release_brake(RELEASE_REASON, flags_file(live=90, shadow=10)),
    reached=lambda operator: (
        operator.placed
        and not operator.braked
        and operator.apps_returned(Role.CANDIDATE) >= _RETURNED_AGAIN
    ),
)


def rollout_steps(factor: float, ledger: str, trace_url: str | None) -> Sequence[Step]:
    """All steps, for a service with these settings."""
    settings = settings_value(factor, ledger, close_code=BETTER_CODE, trace_url=trace_url)
    restarted: Step = RolloutStep(
        title=f"restart with close code {BETTER_CODE}",
        goal="all are back, brake still engaged",
        explanation=(
            f"The operator sets close_code: {BETTER_CODE} and restarts the service. Its clients connect again; "
            "the brake is still engaged, because the ledger remembers it."
        ),
        share=0.1,
        begin=lambda operator: operator.service.restart(settings),
        reached=lambda operator: operator.all_back_after(1) and operator.braked and operator.placed,
    )
    return (OFF, SHADOW, TRUNCATED, LIVE, restarted, RELEASED)
