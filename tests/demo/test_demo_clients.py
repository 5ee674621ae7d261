"""Which clients there are, in the demo and in the matrix, and what their reports make of a history."""

from collections import Counter

import pytest

from shim.demo.client_history import LEFT, ClientHistory, CodeFigures
from shim.demo.demo_client import ANSWERING, OUTAGE, PAUSE, SILENCE
from shim.demo.demo_clients import HEARTBEAT, PACKAGE, TIMEOUT, ClientBehaviour, ClientSpec
from shim.demo.demo_clients import demo_clients as clients_of
from shim.demo.demo_settings import BAD_TIMEOUT, flags_file, settings_value
from shim.model import SECOND, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.flags_file import parse_flags
from shim.settings.settings import settings_from
from tests.demo.matrix import BEHAVIOURS, LENGTH, MATRIX_FLAGS, matrix_clients
from tests.demo.matrix_checks import count_back, count_closed


@pytest.mark.parametrize("users", [36, 60, 200, 1000])
def test_every_behaviour_is_at_every_stage(users: int) -> None:
    clients = matrix_clients(users)
    cells = Counter((client.behaviour, client.stage) for client in clients)
    assert set(cells) == {(behaviour, stage) for behaviour in BEHAVIOURS for stage in Stage}
    assert all(MATRIX_FLAGS.evaluate(client.user).stage is client.stage for client in clients)
    assert len({(client.user, client.kind) for client in clients}) == len(clients)
    assert len({client.user for client in clients}) == pytest.approx(users, rel=0.3)


def test_stages_are_by_percentage() -> None:
    """Only such users are comparable (R15)."""
    for client in matrix_clients(200):
        assert MATRIX_FLAGS.evaluate(client.user).by_percentage


@pytest.mark.parametrize("users", [36, 100, 200, 1000])
def test_the_brake_has_apps_to_compare_and_the_recovery_others(users: int) -> None:
    """Apps at `live` stay away, so it takes others to see that they come back after the recovery."""
    clients = clients_of(users)
    apps = [c.user for c in clients if c.behaviour is ClientBehaviour.SDK]
    half = parse_flags(flags_file(live=50, shadow=50), "half")
    most = parse_flags(flags_file(live=90, shadow=10), "most")
    first = {user for user in apps if half.evaluate(user).stage is Stage.LIVE}
    later = {user for user in apps if most.evaluate(user).stage is Stage.LIVE}
    assert len(first) >= 10
    assert len(later - first) >= 8
    assert all(half.evaluate(user).by_percentage for user in apps)
    number = len({client.user for client in clients})
    assert number == (90 if users == 36 else pytest.approx(users, rel=0.2))


def test_settings_are_a_real_service_s_divided() -> None:
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
    assert TIMEOUT < SILENCE[0] < SILENCE[1] < TIMEOUT + HEARTBEAT
    assert BAD_TIMEOUT < PAUSE[0] < PAUSE[1] < TIMEOUT
    assert OUTAGE[0] > TIMEOUT + HEARTBEAT + 10
    assert ANSWERING[1] + OUTAGE[1] < LENGTH / 2


def _reported(*events: dict[str, object]) -> ClientHistory:
    history = ClientHistory(ClientSpec("u", Kind.APP, ClientBehaviour.SDK))
    for event in events:
        history.add(event)
    return history


OPENED: dict[str, object] = {"event": "open", "process": 0}
ELSEWHERE: dict[str, object] = {"event": "open", "process": 1}
CLOSED: dict[str, object] = {"event": "end", "how": "1006", "answering": False}
CUT: dict[str, object] = {"event": "end", "how": "1012", "answering": True}
AWAY: dict[str, object] = {"event": "end", "how": "1001", "answering": False}
GONE: dict[str, object] = {"event": "end", "how": LEFT, "answering": False}


def test_coming_back_is_to_open_after_a_close_that_was_not_one_s_own() -> None:
    assert count_back(_reported(OPENED, CLOSED)) == 0
    assert count_back(_reported(OPENED, CLOSED, OPENED)) == 1
    assert count_back(_reported(OPENED, GONE, OPENED)) == 0
    assert count_closed(_reported(OPENED, GONE, OPENED)) == 0
    assert count_closed(_reported(OPENED, CLOSED, OPENED, CLOSED)) == 2
    assert PACKAGE.startswith("com.example.")


def test_what_follows_is_counted_by_how_the_connection_had_ended() -> None:
    history = _reported(OPENED, CLOSED, OPENED, CUT, OPENED, AWAY, {"event": "away"})
    assert history.back_after == {"1006": 1, "1012": 1}
    assert history.cut_short == {"1012": 1}
    assert not history.back_elsewhere.total()
    assert _reported(OPENED, CLOSED, ELSEWHERE).back_elsewhere == {"1006": 1}
    assert (history.away, history.away_after) == (True, "1001")
    assert CodeFigures.of([history, history], "1001") == CodeFigures(ended=2, back=0, away=2)
    assert CodeFigures.of([history], "1006") == CodeFigures(ended=1, back=1, away=0)
    assert _reported(OPENED, CLOSED).is_away_after("1006")
    assert not _reported(OPENED, CLOSED, OPENED).is_away_after("1006")
