"""The files of docs/rollout.md are good, and the rollout they tell moves nobody back."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from shim.flags.diff import compare
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.flags_file import parse_flags
from shim.settings.settings import load_settings

TEXT = Path("docs/rollout.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
FILES = [block for block in BLOCKS if block.startswith("version")]


@pytest.mark.parametrize("number", range(8))
def test_every_file_is_good(number: int) -> None:
    assert len(FILES) == 8
    parse_flags(FILES[number].encode(), f"file {number}")


def test_the_rollout_goes_forward() -> None:
    files = [parse_flags(text.encode(), "f") for text in FILES[1:]]
    for before, after in pairwise(files):
        comparison = compare(before, after)
        assert comparison.named.demoted == 0
        assert all(group.moves.demoted == 0 for group in comparison.groups)
    assert {files[0].evaluate(user).stage for user in ("a", "b", "c")} == {Stage.OFF}
    assert {files[-1].evaluate(user).stage for user in ("a", "b", "c")} == {Stage.COMPLETE}


def test_what_it_says_of_lower_thresholds() -> None:
    text = FILES[1]
    old = text.replace("shadow: 0}", "shadow: 50}")
    new = text.replace("live: 0, shadow: 0}", "live: 1, shadow: 10}")
    (everyone,) = compare(*(parse_flags(f.encode(), "f") for f in (old, new))).groups
    assert everyone.moves.percent(everyone.moves.demoted) == 39


def test_the_plan_is_good(tmp_path: Path) -> None:
    (plan,) = [block for block in BLOCKS if block.startswith("promotion")]
    path = tmp_path / "shim.yaml"
    path.write_text(plan)
    assert len(load_settings(path, monitor_types(plugin_manager())).promotion.steps) == 6
