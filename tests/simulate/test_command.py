"""`shim simulate` as people and programs meet it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli.simulate import simulate

SMALL = """
users: 30
days: 0.5
clients:
  app: {freezes: {per_day: 5.0, duration: {median: 90s}}}
settings: {monitors: {candidate: {close_code: 4000}}}
"""
PLANNED = """
users: 150
days: 1
rollout: {holdback: 5, percent: {live: 40, shadow: 60}}
clients:
  app: {freezes: {per_day: 2.0, duration: {table: {75s: 0.5, 2m: 0.5}}}}
settings:
  monitors: {candidate: {close_code: 4000}}
  gate: {period: 3d, min_days: 2, min_users: 100, min_timeouts: 100, min_agreement: 0.95, return_margin: 0.2}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def _shim(*args: object) -> Result:
    return CliRunner().invoke(simulate, [str(arg) for arg in args])


def test_json_and_exit_code(small: Path) -> None:
    result = _shim(small, "--json", "--users", 20, "--days", 0.25, "--seed", 3)
    facts = json.loads(result.stdout)
    assert (facts["users"], facts["days"], facts["seed"]) == (20, 0.25, 3)
    assert facts["gate"]["answer"] == "insufficient"
    assert facts["tally"]["verdicts"]["matched"] > 0
    assert result.exit_code == 3
    assert (
        _shim(small, "--json", "--users", 20, "--days", 0.25, "--seed", 3).stdout == result.stdout
    )


def test_for_people(small: Path) -> None:
    result = _shim(small)
    assert "30 users" in result.stdout
    assert "insufficient evidence" in result.stdout
    assert result.exit_code == 3


def test_settings_of_a_file_instead(small: Path, tmp_path: Path) -> None:
    config = tmp_path / "shim.yaml"
    config.write_text("comparison: {tolerance: 0s}\nrollout: null\n")
    facts = json.loads(_shim(small, "--json", "--config", config).stdout)
    assert facts["tally"]["kinds"].get("skewed", 0) > 0
    config.write_text("monitors: {control: null}\nrollout: null\n")
    result = _shim(small, "--config", config)
    assert result.exit_code == 2
    assert "monitors.control" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [((), "FILE is missing"), (("nowhere.yaml",), "no such file"), (("x", "--days", "0"), "days")],
)
def test_bad_usage(args: tuple[str, ...], words: str) -> None:
    result = _shim(*args)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.timeout(400)
def test_a_plan_comes_true(tmp_path: Path) -> None:
    path = tmp_path / "planned.yaml"
    path.write_text(PLANNED)
    result = _shim("--plan", path, "--json")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    first, *later = plan["steps"]
    assert (first["days"], first["verdict"]) == (3, "ready")
    # Users who did not occur in the first period are few, so that more days hardly help.
    assert [step["days"] for step in later] == [4, 6, 10]
    assert all(step["verdict"] == "ready" and step["users"] <= first["users"] for step in later)
    fleets = {fleet["users"]: fleet for fleet in plan["fleets"]}
    assert {300, 1_500, 8_000, 100_000} <= fleets.keys()
    assert all((size >= first["users"]) == (fleets[size]["days"] == 3) for size in fleets)
    bounds = [fleets[size]["agreement"] for size in sorted(fleets)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > 0.999

    enough, few = round(first["users"] * 1.2), round(first["users"] * 0.5)

    for users, code in ((enough, 0), (few, 3)):
        assert _shim(path, "--users", users, "--days", 3.25, "--json").exit_code == code


def test_a_fleet_without_trouble_never_becomes_decidable(tmp_path: Path) -> None:
    path = tmp_path / "calm.yaml"
    path.write_text("users: 20\ndays: 1\nclients: {app: {}}\nsettings: {gate: {period: 3d}}\n")
    result = _shim("--plan", path)
    assert "never" in result.stdout
    assert result.exit_code == 3
