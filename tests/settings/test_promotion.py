"""The settings `promotion`: a plan that moves nobody back, and every mistake with its place."""

from decimal import Decimal
from pathlib import Path

import pytest

from shim.gate.evidence import Evidence, KindEvidence
from shim.gate.judge import judge_so_far
from shim.model import InputError, Kind
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.promotion_settings import Requirement
from shim.settings.sections import GateSettings
from shim.settings.settings import Settings, load_settings

PLAN = """\
promotion:
  steps:
    - percent: {shadow: 10}
      soak: 2h
    - percent: {live: 0.125, shadow: 50}
      require: [returns, proofs_of_life]
    - {percent: {complete: 100}, soak: 0s, require: []}
"""
DAY = 86_400_000_000


def load(path: Path, text: str) -> Settings:
    file = path / "shim.yaml"
    file.write_text(text)
    return load_settings(file, monitor_types(plugin_manager()))


def test_a_plan(tmp_path: Path) -> None:
    promotion = load(tmp_path, PLAN).promotion
    first, second, third = promotion.steps
    assert not promotion.auto
    assert (first.percent.shadow, first.soak) == (10, 7_200_000_000)
    assert first.require == ("agreement", "coverage", "failures")
    assert (second.percent.live, second.soak) == (Decimal("0.125"), DAY)
    assert second.require == (Requirement.RETURNS, Requirement.PROOFS_OF_LIFE)
    assert (third.percent.complete, third.soak, third.require) == (100, 0, ())


def test_without_a_plan(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n").promotion.steps == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("{shadow: 10}", "{shadow: 51}", 5, "promotion.steps[1].percent", "back"),
        ("{live: 0.125, shadow: 50}", "{shadow: 10}", 5, "promotion.steps[1].percent", "the same"),
        ("{shadow: 10}", "{shadwo: 10}", 3, "promotion.steps[0].percent.shadwo", "did you mean"),
        ("{shadow: 10}", "{shadow: ten}", 3, "promotion.steps[0].percent.shadow", "percentage"),
        ("{shadow: 10}", "{shadow: true}", 3, "promotion.steps[0].percent.shadow", "percentage"),
        ("{shadow: 10}", "{shadow: 101}", 3, "promotion.steps[0].percent.shadow", "more than 100"),
        ("{shadow: 10}", "{shadow: 0.0001}", 3, "promotion.steps[0].percent.shadow", "finer"),
        ("{shadow: 10}", "10", 3, "promotion.steps[0].percent", "mapping"),
        ("soak: 2h", "soak: 2", 4, "promotion.steps[0].soak", "unit"),
        ("[returns,", "[retruns,", 6, "promotion.steps[1].require[0]", "did you mean 'returns'"),
        ("[returns, proofs_of_life]", "returns", 6, "promotion.steps[1].require", "list"),
        ("soak: 2h", "soke: 2h", 4, "promotion.steps[0].soke", "unknown key"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, line: int, path: str, words: str) -> None:
    assert old in PLAN
    with pytest.raises(InputError) as caught:
        load(tmp_path, PLAN.replace(old, new))
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (line, path)
    assert words in problem.reason


def test_a_requirement_is_a_condition_of_the_gate() -> None:
    answer = judge_so_far(Evidence(1, kinds=(KindEvidence(Kind.APP),)), GateSettings())
    assert set(Requirement) <= {condition.name for condition in answer.conditions}
