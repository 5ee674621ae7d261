"""What is captured and replayed is judged as it was live: exactly, as no timer of the bench is late."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shim.capture import recorder
from shim.capture.recorder import Limits
from shim.model import SECOND, Cause, Duration, Role, Stage, Time, Verdict, from_seconds
from shim.replay.capture_reader import CaptureReader
from shim.replay.replay_engine import Replay
from shim.replay.result import verdict_row
from tests.capture.bench import INTERVAL, START, Bench
from tests.capture.files import captures
from tests.replay.helpers import replay_settings


@dataclass(frozen=True)
class Move:
    """After `wait`, one thing happens; to which connection, `who` says."""

    wait: Duration
    act: str
    who: int
    arrived: int = 0


# Times around the rules' own (15 s, 45 s, 60 s, 5 s), and any others.
WAITS = st.one_of(
    st.sampled_from([0, 1, SECOND, 5 * SECOND, 15 * SECOND, 44_999_999, 45 * SECOND, 61 * SECOND]),
    st.integers(0, 100 * SECOND),
)
MOVES = st.builds(
    Move,
    WAITS,
    st.sampled_from(["open", "open", "message", "message", "pong", "data", "close", "pause"]),
    st.integers(0, 9),
    st.integers(0, 3),
)


def play(bench: Bench, moves: Sequence[Move]) -> None:
    for move in moves:
        names = bench.ids()
        if move.act == "pause":
            bench.wait(0)  # what is due before the pause has been done
            arrived = [names[(move.who + n) % len(names)] for n in range(move.arrived) if names]
            bench.pause(move.wait + 1, arrived)
            continue
        bench.wait(move.wait)
        if move.act == "open" or not names:
            bench.open(user=f"u{move.who}")
        elif move.act == "close":
            bench.close(names[move.who % len(names)], Cause.APPLICATION)
        else:
            getattr(bench, move.act)(names[move.who % len(names)])
    bench.stop()


def replay(path: Path, acting: Role) -> list[Verdict]:
    with path.open("rb") as file:
        engine = Replay(replay_settings(), acting)
        engine.feed(CaptureReader(file, path))
    assert engine.ended
    assert not engine.result.failures
    return engine.result.verdicts


def row(verdict: Verdict, zero: Time) -> tuple[Any, ...]:
    """A verdict with its times from `zero`."""
    told = verdict_row(verdict)
    for name in ("at", "control_at", "candidate_at", "last_activity"):
        if told[name] is not None:
            told[name] = from_seconds(told[name]) - zero
    return tuple(told.items())


SLICES = st.one_of(st.none(), st.sampled_from([1, 1000, SECOND // 3, 7 * SECOND]))
STAGES = st.sampled_from([(Stage.SHADOW, Role.CONTROL), (Stage.LIVE, Role.CANDIDATE)])


@settings(max_examples=60, deadline=None)
@given(st.lists(MOVES, max_size=30), STAGES, st.integers(0, 100 * SECOND))
def test_a_replay_gives_the_live_verdicts(
    moves: list[Move], stages: tuple[Stage, Role], late: Duration
) -> None:
    stage, acting = stages
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder, "capture.jsonl"), stage=stage, late=late)
        play(bench, moves)
        (path,) = captures(Path(folder))
        (zero,) = bench.zeros
        assert (zero - START) % INTERVAL == 0
        found = [row(verdict, -zero) for verdict in replay(path, acting)]
        assert sorted(found, key=str) == sorted((row(v, 0) for v in bench.live.all), key=str)


@settings(max_examples=60, deadline=None)
@given(st.lists(MOVES, min_size=10, max_size=60), STAGES, st.integers(100, 2000), SLICES)
def test_each_file_gives_the_verdicts_of_its_own_time(
    moves: list[Move], stages: tuple[Stage, Role], size: int, slices: Duration | None
) -> None:
    """Also where connections go on while the opening of a file is made."""
    stage, acting = stages
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(size, 300 * SECOND)
        bench = Bench(Path(folder, "capture.jsonl"), limits, stage, slices=slices)
        with pytest.MonkeyPatch.context() as patch:
            if slices is not None:
                patch.setattr(recorder, "_SLICE", 0)
            play(bench, moves)
        # A decision that the bench's own microsecond delays has another time in the replay.
        assume(not bench.moved_past_a_timer)
        found: list[tuple[Any, ...]] = []
        paths = captures(Path(folder))
        for path, zero in zip(paths, bench.zeros, strict=True):
            began = from_seconds(json.loads(path.read_text().splitlines()[0])["began"])
            last = path == paths[-1]
            found += [
                row(verdict, -zero)
                for verdict in replay(path, acting)
                if verdict.at > began and (last or verdict.kind != "shutdown")
            ]
        live = [row(verdict, 0) for verdict in bench.live.all]
        assert sorted(found, key=str) == sorted(live, key=str)
