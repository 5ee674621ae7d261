"""The simulation file is read strictly."""

from pathlib import Path

import pytest

from shim.model import InputError
from shim.simulate.scenario import load_scenario
from tests.simulate.helpers import TYPES, records, scenario

GOOD = "users: 10\ndays: 1\nclients:\n  app: {}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("days: 1\nclients: {app: {}}\n", "users: is missing"),
        (GOOD + "cleints: {}\n", "5:1: cleints: unknown key"),
        (GOOD + "server: {pauses: [{at: 1h, duration: 5}]}\n", "duration"),
        (GOOD + "server: {pauses: [{at: 1h, duration: 5s}, {at: 1h, duration: 5s}]}\n", "stands"),
        ("users: 10\ndays: 1\nclients: {}\n", "clients: names at least one"),
        ("users: 0\ndays: 1\nclients: {app: {}}\n", "1:1: users"),
        ("users: 9\ndays: .nan\nclients: {app: {}}\n", "days"),
        (GOOD + "settings: {monitors: {control: null}}\n", "settings.monitors.control"),
        (GOOD + "settings: {monitors: {candidate: {plugin: nobody}}}\n", "there is no monitor"),
        (GOOD + "rollout: {percent: {live: 60, shadow: 60}}\n", "120"),
        ("users: 9\ndays: 1\nclients: {app: {away: {median: 1h, table: {1h: 1}}}}\n", "either"),
        ("users: 9\ndays: 1\nclients: {app: {away: {table: {1h: 0.5}}}}\n", "add to 1"),
        ("users: 9\ndays: 1\nclients: {app: {away: {table: {soon: 1}}}}\n", "no duration"),
        ("users: 9\ndays: 1\nclients: {app: {kind: phone}}\n", "must be one of glasses, app"),
        (GOOD + "started: 3000-01-01\n", "5:1: started: must be before the year 3000"),
        ("", "empty"),
        ("users: [\n", ""),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "simulation.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(path, TYPES)
    assert any(problem in str(one) and str(path) in str(one) for one in caught.value.problems)


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "simulation.yaml"
    path.write_text(GOOD + "rollout: {default: off}\nsettings: {comparison: {window: 30s}}\n")
    read = load_scenario(path, TYPES)
    assert read.users == 10
    assert str(read.rollout.targeting().default) == "off"
    assert read.settings.comparison.window == 30_000_000


def test_a_seed_gives_the_same_again_and_another_seed_something_else() -> None:
    first, again, other = (records(scenario(seed=seed)).sorted_verdicts() for seed in (1, 1, 2))
    assert first
    assert first == again
    assert first != other
