"""`shim tune`: what each timeout would have done to a capture, against the capture's own story."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given

from shim.capture.format import Event as CaptureEvent
from shim.cli import main
from shim.model import SECOND
from shim.replay.long_silences import LongSilences
from shim.replay.tuning import TimeoutReplay, TimeoutTrial, feed_trials, recommend
from tests.oracle.captures import captures
from tests.oracle.replay_oracle import OracleSettings, judge
from tests.replay.helpers import decode, replay_settings

Event = dict[str, Any]


def opening(connection: str, t: float = 0.0) -> Event:
    return {
        "t": t,
        "event": "open",
        "connection": connection,
        "user": f"user-{connection}",
        "session": f"session-{connection}",
        "kind": "app",
        "package": "p",
    }


def message(connection: str, t: float) -> Event:
    return {"t": t, "event": "message", "connection": connection}


def close(connection: str, t: float, cause: str = "peer") -> Event:
    return {"t": t, "event": "close", "connection": connection, "cause": cause}


def end(t: float) -> Event:
    return {"t": t, "event": "end"}


def tune(events: Sequence[Event], *timeouts: int) -> list[TimeoutTrial]:
    return tune_events(decode(events), *timeouts)


def tune_events(
    events: Iterable[CaptureEvent], *timeouts: int, names: Mapping[str, str] | None = None
) -> list[TimeoutTrial]:
    replays = [
        TimeoutReplay(
            replay_settings(OracleSettings(candidate_timeout=timeout * SECOND)),
            timeout * SECOND,
            names,
        )
        for timeout in timeouts
    ]
    feed_trials(replays, events)
    return [replay.trial for replay in replays]


def test_a_silence_that_life_ended_would_have_been_a_living_connection_closed() -> None:
    short, exact, long = tune(
        [opening("c1"), message("c1", 50), close("c1", 60), end(70)], 45, 50, 51
    )
    assert (short.candidate.alive, short.alive_alone, short.first_closed) == (1, 1, ["c1"])
    # A deadline and a message at one instant: the message comes first.
    assert (exact.candidate.alive, long.candidate.alive) == (0, 0)
    assert short.candidate.dead == []


def test_what_the_control_closes_too_is_not_the_candidates_alone() -> None:
    (trial,) = tune([opening("c1"), message("c1", 70), close("c1", 71), end(80)], 45)
    assert (trial.candidate.alive, trial.control.alive, trial.alive_alone) == (1, 1, 0)
    assert trial.matched == 1


def test_a_dead_connection_is_found_after_the_timeout() -> None:
    early, late = tune([opening("c1"), close("c1", 100), end(110)], 30, 90)
    assert (early.candidate.dead, late.candidate.dead) == ([30 * SECOND], [90 * SECOND])
    (missed,) = tune([opening("c1"), close("c1", 100), end(110)], 101)
    assert (missed.candidate.dead, missed.missed, missed.cut_short) == ([], 1, 0)


def test_what_the_captured_monitor_closed_first_is_no_miss() -> None:
    (trial,) = tune([opening("c1"), close("c1", 60.001, "control"), end(110)], 75)
    assert (trial.missed, trial.cut_short) == (0, 1)


def test_what_is_silent_at_the_end_is_unknown() -> None:
    (trial,) = tune([opening("c1"), end(80)], 45)
    assert (trial.candidate.unknown, trial.candidate.dead, trial.candidate.alive) == (1, [], 0)


def test_improvements_do_not_count_against_the_candidate() -> None:
    (trial,) = tune([opening("c1"), message("c1", 62), close("c1", 63), end(70)], 75)
    assert (trial.improvements, trial.mismatched, trial.agreement) == (1, 0, None)


def test_the_shortest_harmless_timeout_is_recommended() -> None:
    trials = tune([opening("c1"), message("c1", 50), close("c1", 51), end(60)], 60, 45, 75)
    best = recommend(trials)
    assert best is not None
    assert best.timeout == 60 * SECOND
    assert recommend(tune([opening("c1"), message("c1", 50), end(60)], 45)) is None


@given(captures(OracleSettings(candidate_timeout=30 * SECOND), max_moves=40))
def test_agreement_is_that_of_an_independent_judgement(events: list[Event]) -> None:
    (trial,) = tune(events, 30)
    verdicts = judge(events, OracleSettings(candidate_timeout=30 * SECOND), "none")["verdicts"]
    improved = [v for v in verdicts if v["kind"] == "only_control" and v["recovered"]]
    assert trial.matched == sum(v["verdict"] == "matched" for v in verdicts)
    assert trial.mismatched == sum(v["verdict"] == "mismatched" for v in verdicts) - len(improved)
    assert trial.improvements == len(improved)


@given(captures(OracleSettings(candidate_timeout=30 * SECOND), max_moves=40))
def test_the_long_silences_of_a_capture_say_the_same(events: list[Event]) -> None:
    timeouts = (30, 31, 45, 60, 90)
    silences = LongSilences(30 * SECOND)
    whole = tune_events(silences.follow(decode(events)), *timeouts)
    kept = silences.events
    assert kept is not None
    assert tune_events(kept, *timeouts, names=silences.names) == whole


def test_signs_of_life_that_come_soon_are_left_out() -> None:
    """The first part is c1 from 120 on; it is not open while c1 talks."""
    talk = [message("c1", t) for t in range(0, 130, 10)]
    silences = LongSilences(30 * SECOND)
    later = [message("c1", 160), message("c1", 170), close("c1", 220), end(230)]
    for _ in silences.follow(decode([opening("c1"), *talk, *later])):
        pass
    kept = silences.events
    assert kept is not None
    assert [(type(event).__name__, event.t) for event in kept] == [
        ("Open", 120),
        ("Message", 160),
        ("CloseEvent", 160),
        ("Open", 170),
        ("CloseEvent", 220),
        ("End", 230),
    ]
    assert set(silences.names.values()) == {"c1"}


def test_too_many_long_silences_are_no_short_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.replay.long_silences.MOST_EVENTS", 3)
    silences = LongSilences(30 * SECOND)
    events = [opening("c1"), message("c1", 50), opening("c2", 50), message("c2", 60), end(70)]
    assert [event.t for event in silences.follow(decode(events))] == [0, 50, 50, 60, 70]
    assert silences.events is not None
    longer = [*events[:-1], message("c1", 100), message("c2", 100), end(110)]
    silences = LongSilences(30 * SECOND)
    assert [event.t for event in silences.follow(decode(longer))][-1] == 110
    assert silences.events is None


def write(path: Path, events: Sequence[Event]) -> Path:
    path.write_text("\n".join(map(json.dumps, [{"capture": 1}, *events])) + "\n")
    return path


STORY = [
    opening("c1"),
    opening("c2"),
    message("c1", 50),
    close("c1", 51),
    close("c2", 100),
    end(110),
]


def test_the_command_names_the_timeout(tmp_path: Path) -> None:
    capture = write(tmp_path / "capture.jsonl", STORY)
    picture = tmp_path / "tune.svg"
    said = CliRunner().invoke(
        main, ["tune", str(capture), "--timeouts", "45s,60s,90s", "--svg", str(picture)]
    )
    assert said.exit_code == 0, said.output
    assert "1m is the shortest of these timeouts" in said.output
    assert picture.read_text().startswith("<svg")
    answer = CliRunner().invoke(main, ["tune", str(capture), "--timeouts", "45s,60s", "--json"])
    assert json.loads(answer.output)["recommended"] == 60
    assert [t["closes_living"] for t in json.loads(answer.output)["trials"]] == [1, 0]


def test_without_the_short_cut_the_answer_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = write(tmp_path / "capture.jsonl", STORY)
    command = ["tune", str(capture), "--timeouts", "30s,45s,60s,90s", "--json"]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 0, answer.output
    monkeypatch.setattr("shim.replay.long_silences.MOST_EVENTS", -1)
    assert CliRunner().invoke(main, command).output == answer.output


@pytest.mark.parametrize(
    ("events", "timeouts", "code"), [(STORY, "30s,45s", 1), ([*STORY[:2], end(20)], "45s", 3)]
)
def test_the_exit_code_says_whether_there_is_one(
    tmp_path: Path, events: list[Event], timeouts: str, code: int
) -> None:
    capture = write(tmp_path / "capture.jsonl", events)
    said = CliRunner().invoke(main, ["tune", str(capture), "--timeouts", timeouts])
    assert said.exit_code == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], "missing.jsonl: No such file or directory"),
        (["{capture}", "--timeouts", "45"], "45"),
        (["{capture}", "--timeouts", "0s"], "longer than 0s"),
        (["{capture}", "--config", "missing.yaml"], "missing.yaml"),
        (["{capture}", "--svg", "missing/picture.svg"], "missing/picture.svg"),
        (["{torn}"], "the capture has no end; is the file truncated?"),
    ],
)
def test_bad_input_is_refused_in_words(
    tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {
        "capture": str(write(tmp_path / "capture.jsonl", STORY)),
        "torn": str(write(tmp_path / "torn.jsonl", STORY[:-1])),
    }
    said = CliRunner().invoke(main, ["tune", *(part.format(**names) for part in arguments)])
    assert said.exit_code == 2
    assert words in said.output
    assert "Traceback" not in said.output


@pytest.mark.parametrize(
    "wrong",
    [
        message("c9", 1.0),
        close("c9", 1.0),
        {"t": 1.0, "event": "data", "connection": "c9"},
        opening("c1", 1.0),
        message("c1", -1.0),
        {"t": 1.0, "event": "stall", "duration": -1.0},
        {"t": 1.0, "event": "pause"},
        end(1.0),
    ],
    ids=lambda event: f"{event['event']} {event['t']}",
)
def test_an_impossible_event_is_refused_with_its_line(tmp_path: Path, wrong: Event) -> None:
    events = [
        opening("c1"),
        wrong,
        message("c1", 2.0),
        close("c1", 3.0),
        message("c1", 4.0),
        end(9),
    ]
    capture = str(write(tmp_path / "capture.jsonl", events))
    same = tmp_path / "same.yaml"
    same.write_text("{}")
    line = 4 if wrong["event"] == "end" else 3
    said = []
    for arguments in (["tune"], ["replay"], ["replay", "--diff", str(same)]):
        refused = CliRunner().invoke(main, [*arguments, capture])
        assert refused.exit_code == 2
        assert f"{capture}:{line}: " in refused.output
        said.append(refused.output)
    assert len({*said}) == 1
