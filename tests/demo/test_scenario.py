"""Who takes part in the demo, and what the fleet's reports make of a story."""

from collections import Counter

import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.cli.demo import shortest
from shim.demo.scenario import (
    PACKAGE,
    RHYTHM,
    ROLLOUT,
    TIMEOUT,
    Behaviour,
    Client,
    cast,
    settings_value,
)
from shim.demo.story import LEFT, Story
from shim.flags import Targeting
from shim.model import SECOND, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings import parse_flags, settings_from


@pytest.fixture(scope="module")
def rollout() -> Targeting:
    return parse_flags(ROLLOUT.encode(), "the demo's rollout")


@pytest.mark.parametrize("users", [36, 60, 200, 1000])
def test_every_behaviour_is_at_every_stage(users: int, rollout: Targeting) -> None:
    clients = cast(users, lambda user: rollout.evaluate(user).stage)
    cells = Counter((client.behaviour, client.stage) for client in clients)
    assert set(cells) == {(behaviour, stage) for behaviour in Behaviour for stage in Stage}
    assert all(rollout.evaluate(client.user).stage is client.stage for client in clients)
    assert len({(client.user, client.kind) for client in clients}) == len(clients)
    assert len({client.user for client in clients}) == pytest.approx(users, rel=0.3)


def test_the_least_time_is_what_the_help_says() -> None:
    runner = CliRunner()
    told = " ".join(runner.invoke(main, ["demo", "--help"]).output.split())
    assert "32 at least at the default --factor" in told
    assert "x>=16" in told
    for least, factor in ((16, 40), (32, 20), (64, 10)):
        assert shortest(factor) == least
        arguments = ["demo", "--factor", str(factor), "--seconds", str(least - 1)]
        refused = runner.invoke(main, arguments)
        assert refused.exit_code == 2
        assert str(least) in refused.output


def test_stages_are_by_percentage(rollout: Targeting) -> None:
    """Only such users are comparable (R15)."""
    for client in cast(200, lambda user: rollout.evaluate(user).stage):
        assert rollout.evaluate(client.user).by_percentage


def test_settings_are_the_seed_s_divided() -> None:
    settings = settings_from(
        settings_value(20, "/tmp/demo.db"), monitor_types(plugin_manager()), "demo"
    )
    assert settings.monitors.control is not None
    for choice in (settings.monitors.control, settings.monitors.candidate):
        assert choice.settings.timeout == 45 * SECOND // 20
        assert choice.settings.heartbeat_interval == 15 * SECOND // 20
    assert settings.monitors.candidate.settings.close_code == 1001
    assert settings.comparison.return_window == 6 * SECOND


def test_silences_are_between_the_timeout_and_the_sweep_after() -> None:
    assert TIMEOUT < RHYTHM.silence.least < RHYTHM.silence.most < TIMEOUT + 15
    assert RHYTHM.outage.least > TIMEOUT + 15 + 10


def _told(*events: dict[str, str]) -> Story:
    story = Story(Client("u", Kind.APP, Behaviour.SDK, Stage.OFF))
    for event in events:
        story.tell(event)
    return story


def test_coming_back_is_to_open_after_a_close_that_was_not_one_s_own() -> None:
    opened, closed = {"event": "open"}, {"event": "end", "how": "1006"}
    left = {"event": "end", "how": LEFT}
    assert _told(opened, closed).back == 0
    assert _told(opened, closed, opened).back == 1
    assert _told(opened, left, opened).back == 0
    assert _told(opened, left, opened).closed == 0
    assert _told(opened, closed, opened, closed).closed == 2
    assert PACKAGE.startswith("com.example.")
