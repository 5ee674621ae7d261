"""What stands in a capture, line by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from shim.capture.recorder import Limits, settings_digest
from shim.model import SECOND, Cause, Confirmation, InputError, Kind, Role, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from
from tests.capture.bench import START, Bench
from tests.capture.files import captures
from tests.capture.test_round_trip import replay, row


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_says_where_it_comes_from(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "capture.jsonl")
    bench.wait(500_000)
    app = bench.open("alice@example.com")
    glasses = bench.open("bob@example.com", Kind.GLASSES, instance="the black ones")
    bench.wait(SECOND)
    bench.message(app)
    bench.pong(app)
    bench.data(app)
    bench.set_stage(app, Stage.LIVE)
    bench.wait(SECOND)
    bench.message(app)
    bench.message(app)
    bench.close(app, Cause.APPLICATION)
    bench.wait(60 * SECOND)
    bench.close(glasses)
    bench.stop()
    header, *events = lines(captures(tmp_path)[0])
    assert header.pop("started")
    assert header == {"capture": 1, "settings": "digest", "began": 0.0}
    who = {"connection": app, "user": "hidden-alice@example.com"}
    session, package = "hidden-s-alice@example.com", "com.example.a"
    opened = {"event": "open", "t": 0.5, "stage": "shadow", "acting": "control"}
    spoke = {"event": "message", "connection": app}
    assert events == [
        {**opened, **who, "session": session, "kind": "app", "package": package},
        {
            **opened,
            "connection": glasses,
            "user": "hidden-bob@example.com",
            "session": "hidden-s-bob@example.com",
            "instance": "hidden-the black ones",
            "kind": "glasses",
        },
        {**spoke, "t": 1.5},
        {"event": "pong", "t": 1.5, "connection": app},
        {"event": "data", "t": 1.5, "connection": app},
        {**spoke, "t": 2.5, "stage": "live"},
        {**spoke, "t": 2.5},
        {"event": "close", "t": 2.5, "connection": app, "cause": "application"},
        # Silent since 0.5 s: the control sweeps at 60 s.
        {"event": "close", "t": 62.5, "connection": glasses, "cause": "control"},
        {"event": "end", "t": 62.5},
    ]


def test_what_follows_a_close_of_the_application_is_not_captured(tmp_path: Path) -> None:
    """The peer's late messages, while its closing handshake is under way."""
    bench = Bench(tmp_path / "capture.jsonl")
    name = bench.open()
    touch = bench.touch(name)
    bench.close(name, Cause.APPLICATION)
    bench.wait(1)
    touch()
    bench.stop()
    assert [line.get("event") for line in lines(captures(tmp_path)[0])] == [
        None,
        "open",
        "close",
        "end",
    ]


def test_the_next_file_opens_again_what_is_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "capture.jsonl", Limits(age=20 * SECOND))
    gone, silent, data = bench.open(), bench.open(), bench.open()
    bench.wait(3 * SECOND)
    bench.data(data)
    bench.wait(2 * SECOND)
    speaks = bench.open()
    bench.pause(6 * SECOND, [])
    bench.close(gone)
    bench.wait(7 * SECOND)
    bench.message(speaks)
    bench.set_stage(speaks, Stage.LIVE)
    bench.wait(10 * SECOND)
    bench.stop()
    _, second = captures(tmp_path)
    header, *events = lines(second)
    assert header["began"] == pytest.approx(20, abs=2)
    told = [(line["event"], line["t"], line.get("connection")) for line in events]
    assert told[:-1] == [
        ("open", 0.0, silent),
        ("open", 0.0, data),
        ("data", 3.0, data),
        ("stall", 5.0, None),
        ("open", 18.000001, speaks),
    ]
    assert all(line["reopened"] for line in events if line["event"] == "open")
    assert (events[4]["stage"], events[4]["acting"]) == ("live", "candidate")


def test_the_zero_of_a_file_is_a_heartbeat_of_the_control(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "capture.jsonl", Limits(age=100 * SECOND))
    bench.wait(70 * SECOND)
    bench.open()
    bench.wait(60 * SECOND)
    assert bench.zeros == [START, START + 60 * SECOND]
    bench.stop()
    found = [row(v, -bench.zeros[1]) for v in replay(captures(tmp_path)[1], Role.CONTROL)]
    assert found == [row(verdict, 0) for verdict in bench.live.all]


@pytest.mark.parametrize("late", [0, 3000])
def test_what_was_read_after_a_pause_came_before_the_judgement(tmp_path: Path, late: int) -> None:
    """A pause of up to `stall_threshold` moves no deadline: what arrived has to be seen first (R3)."""
    bench = Bench(tmp_path / "capture.jsonl", stage=Stage.LIVE)
    bench.wait(SECOND)
    name = bench.open()
    bench.wait(44_500_000)  # the control has swept at 45 s
    bench.pause(4 * SECOND, [name], late)
    bench.wait(SECOND)
    bench.stop()
    assert bench.live.all == []
    assert replay(captures(tmp_path)[0], Role.CANDIDATE) == []


def test_a_message_read_while_the_loop_was_held_up_belongs_to_the_pause(tmp_path: Path) -> None:
    """It is there before the pause is told; the pause goes before it, so that time never goes back."""
    bench = Bench(tmp_path / "capture.jsonl", stage=Stage.LIVE)
    busy, other = bench.open(), bench.open()
    bench.wait(10 * SECOND)
    bench.now += 8 * SECOND  # a handler does not yield
    bench.message(busy)
    bench.now -= 8 * SECOND
    bench.pause(9 * SECOND, [])
    bench.wait(30 * SECOND)
    bench.message(busy)
    bench.wait(10 * SECOND)  # 59 s after its opening, less the pause of 9 s
    bench.stop()
    (verdict,) = bench.live.all
    assert (verdict.connection.id, verdict.candidate_at) == (other, START + 54 * SECOND)
    (again,) = replay(captures(tmp_path)[0], Role.CANDIDATE)
    assert row(again, -START) == row(verdict, 0)


def test_r3b_what_the_kernel_knew_is_data(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "capture.jsonl", stage=Stage.LIVE)
    name = bench.open()
    bench.wait(44_600_000)
    bench.socket(name).evidence = Confirmation(bench.now)
    bench.wait(100 * SECOND)
    bench.stop()
    assert {"event": "data", "t": 44.6, "connection": name} in lines(captures(tmp_path)[0])
    found = [row(verdict, -START) for verdict in replay(captures(tmp_path)[0], Role.CANDIDATE)]
    assert found == [row(verdict, 0) for verdict in bench.live.all]
    assert bench.live.all[0].candidate_at == START + 89_600_000


def test_r3b_bytes_that_wait_are_data(tmp_path: Path) -> None:
    """A busy application is no silent client in the replay either; and patience ends."""
    bench = Bench(tmp_path / "capture.jsonl", stage=Stage.LIVE)
    name = bench.open()
    bench.socket(name).evidence = Confirmation(None, unread=True)
    bench.wait(80 * SECOND)
    bench.message(name)
    bench.wait(SECOND)
    bench.stop()
    assert [v.kind for v in bench.live.all] == ["only_control"]
    assert [v.kind for v in replay(captures(tmp_path)[0], Role.CANDIDATE)] == ["only_control"]


def test_a_decision_in_spite_of_the_kernel_leaves_no_data(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "capture.jsonl", stage=Stage.LIVE)
    bench.socket(bench.open()).evidence = Confirmation(None, unread=True)
    bench.wait(140 * SECOND)
    bench.stop()
    told = [line["t"] for line in lines(captures(tmp_path)[0]) if line.get("event") == "data"]
    # Asked at 45 s and each 15 s from then on; at 135 s patience ends, and it decides.
    assert told == [44, 59, 74, 89, 104, 119]


def test_there_has_to_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        Bench(tmp_path / "none" / "capture.jsonl")


def test_the_digest_is_that_of_what_decides() -> None:
    types = monitor_types(plugin_manager())

    def digest(value: dict[str, Any]) -> str:
        return settings_digest(settings_from(value, types))

    usual = digest({})
    assert usual == digest({"monitors": {"control": {"timeout": "45s"}}, "server": {"port": 1}})
    assert usual != digest({"monitors": {"candidate": {"timeout": "30s"}}})
    assert usual != digest({"comparison": {"tolerance": "1s"}})
    assert usual != digest({"monitors": {"control": None}})
