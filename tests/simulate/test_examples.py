"""The example files give the answers that they promise."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.gate.answer import GateAnswer, GateVerdict, Standing
from shim.simulate.scenario import load_scenario
from shim.simulate.simulation_run import SimulationRun
from tests.simulate.helpers import EXAMPLES, TYPES

ANSWERS = {
    "close-1001": (GateVerdict.NOT_READY, {"returns"}),
    "close-4000": (GateVerdict.READY, set()),
    "disagreement": (GateVerdict.NOT_READY, {"agreement"}),
    "correlated": (GateVerdict.NOT_READY, {"agreement"}),
    "outage": (GateVerdict.INSUFFICIENT, set()),
    "returns-5": (GateVerdict.INSUFFICIENT, set()),
    "returns-20": (GateVerdict.NOT_READY, {"returns"}),
    "never-pings": (GateVerdict.NOT_READY, {"coverage", "proofs_of_life"}),
    "too-little": (GateVerdict.INSUFFICIENT, set()),
    "nothing": (GateVerdict.INSUFFICIENT, set()),
    "expired-rule": (GateVerdict.NOT_READY, {"expired_rules"}),
    "broad-rule": (GateVerdict.NOT_READY, {"expected"}),
}


CODES = {GateVerdict.READY: 0, GateVerdict.NOT_READY: 1, GateVerdict.INSUFFICIENT: 3}


@cache
def _answer(path: Path) -> dict[str, Any]:
    """The gate's answer, by the command."""
    result = CliRunner().invoke(main, ["simulate", str(path), "--json"])
    answer: dict[str, Any] = json.loads(result.stdout)["gate"]
    assert result.exit_code == CODES[GateVerdict(answer["answer"])], result.stderr
    return answer


def _simulated(path: Path, **changes: object) -> GateAnswer:
    with SimulationRun(load_scenario(path, TYPES).model_copy(update=changes)) as run:
        for _ in run.hours():
            pass
        return run.answer()


def _named(answer: dict[str, Any], *standings: Standing) -> set[str]:
    return {one["name"] for one in answer["conditions"] if one["standing"] in standings}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    verdict, failed = ANSWERS[path.stem]

    answer = _answer(path)

    assert answer["answer"] == verdict
    assert failed <= _named(answer, Standing.FAILED)


def test_after_1001_returns_are_all_that_is_wrong() -> None:
    answer = _answer(EXAMPLES / "close-1001.yaml")
    # The days and the last week say the same, of returns alone.
    assert _named(answer, Standing.FAILED, Standing.OPEN) == {"returns", "stretches", "recent"}
    for condition in answer["conditions"]:
        if condition["name"] in ("stretches", "recent"):
            assert "returns" in condition["missing"]
            assert "agreement" not in condition["missing"]
    agreement = next(one for one in answer["conditions"] if one["name"] == "agreement")
    assert agreement["figure"] == 1.0


@pytest.mark.parametrize("share", [0.005, 0.01])
def test_little_disagreement_is_not_taken_for_readiness_by_a_small_fleet(share: float) -> None:
    path = EXAMPLES / "disagreement.yaml"
    candidate = load_scenario(path, TYPES).candidate
    assert candidate.early is not None
    early = candidate.early.model_copy(update={"share": share})
    answer = _simulated(path, users=700, candidate=candidate.model_copy(update={"early": early}))
    assert answer.verdict is not GateVerdict.READY
