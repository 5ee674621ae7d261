"""What figures look like to people: never better than they are, and drawn where they belong."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.console.pages import charts
from shim.console.pages import formatting as words
from shim.console.pages.dashboard_figures import DashboardArm, default_period, read_figures
from shim.console.pages.episode_chart import draw_lanes
from shim.gate.answer import Condition, Scale, Sense, Standing
from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.report_figures import PERIODS
from shim.ledger.rows import VerdictRow
from shim.ledger.run_row import begin_run
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import SECOND, Kind, Return, Role, Stage, Verdict, VerdictKind, VerdictName
from shim.model.connection import Connection
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from

NOW = 1_900_000_000 * SECOND


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def summary(drawing: str) -> str:
    """What a drawing says of itself to somebody who does not see it."""
    (label,) = re.findall('aria-label="([^"]*)"', drawing)
    return plain(label)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (820_000, "820 ms"),
        (11_800_000, "11.8 s"),
        (-11_800_000, "−11.8 s"),
        (89 * SECOND, "89.0 s"),
        (270 * SECOND, "4.5 min"),
        (3 * 3600 * SECOND, "3.0 h"),
        (6 * 86_400 * SECOND, "6.0 d"),
    ],
)
def test_durations(value: int | None, text: str) -> None:
    assert plain(words.duration(value)) == text


@given(st.floats(0, 1), st.integers(0, 3))
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, digits: int) -> None:
    shown = float(plain(words.percent(share, digits)).removesuffix(" %"))
    assert (shown == 100) == (share == 1)
    assert (shown == 0) == (share == 0)
    assert abs(shown / 100 - share) <= 10**-digits / 100


def rectangles(drawing: str) -> list[dict[str, Any]]:
    found = re.findall(
        r'<rect x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)" class="([^"]*)">', drawing
    )
    names = ("x", "y", "width", "height")
    return [
        {**dict(zip(names, map(float, values), strict=True)), "look": look}
        for *values, look in found
    ]


@given(st.fixed_dictionaries({stage: st.integers(0, 10_000) for stage in Stage}))
def test_the_stages_fill_the_bar_by_their_shares(counts: dict[Stage, int]) -> None:
    parts = rectangles(charts.stages(counts, "users").drawing)
    total = sum(counts.values())
    assert len(parts) == sum(count > 0 for count in counts.values())
    for part in parts:
        stage = Stage[part["look"].removeprefix("stage-").upper()]
        assert part["width"] == pytest.approx(1000 * counts[stage] / total, abs=0.01)
    assert sum(part["width"] for part in parts) == pytest.approx(1000 if total else 0, abs=0.05)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_bound_beyond_its_target_is_drawn_beyond_it(bound: float, target: float) -> None:
    condition = Condition(
        "agreement",
        "Agreement",
        Kind.APP,
        Standing.OPEN,
        Scale.SHARE,
        Sense.AT_LEAST,
        target,
        bound,
        bound,
    )
    chart = charts.bullet(condition)
    assert chart is not None
    (bar,) = rectangles(chart.drawing)
    goal = float(re.findall(r'<line x1="([^"]*)"', chart.drawing)[0])
    assert 0 <= bar["width"] <= 1000
    if bound >= target + 0.001:
        assert bar["width"] >= goal
    if bound <= target - 0.001:
        assert bar["width"] <= goal


def record(folder: Path, verdicts: list[tuple[str, int, int | None]]) -> SqliteReader:
    """A ledger with verdicts of a user, so many seconds before NOW, the skew in seconds or none."""
    settings = settings_from({"rollout": None}, monitor_types(plugin_manager()))
    path = folder / "ledger.db"
    ledger = SqliteLedger(path, begin_run(settings, NOW - 3000 * SECOND))
    observer = LedgerObserver(ledger, lambda at: NOW + at)
    for order, (user, ago, skew) in enumerate(verdicts):
        connection = Connection(f"c{order}", Kind.APP, user, user, "com.example.app")
        at = -ago * SECOND
        matched = skew is not None
        observer.on(
            Verdict(
                connection=connection,
                order=order,
                name=VerdictName.MATCHED if matched else VerdictName.MISMATCHED,
                kind=VerdictKind.BOTH if matched else VerdictKind.ONLY_CANDIDATE,
                at=at,
                first=Role.CANDIDATE,
                control_at=None if skew is None else at,
                candidate_at=at if skew is None else at - skew * SECOND,
                recovered=not matched,
                last_activity=at - 60 * SECOND,
                acting=Role.CONTROL,
            )
        )
    assert ledger.flush(10)
    ledger.close(10)
    return SqliteReader(path)


def test_the_figures_count_their_period(tmp_path: Path) -> None:
    settings = settings_from({"rollout": None}, monitor_types(plugin_manager()))
    reader = record(
        tmp_path,
        [
            ("too old", 5000, 3),
            ("alice", 3000, 3),
            ("alice", 2000, None),
            ("bob", 1000, 12),
            ("bob", 10, None),
            ("bob", 5, None),
        ],
    )
    assert default_period(reader, NOW) == "1h"
    seen = read_figures(reader, settings, NOW - PERIODS["1h"], NOW)
    assert (seen.matched, seen.conclusive) == (2, 5)
    assert [(user.name, user.mismatched, user.conclusive) for user in seen.users] == [
        ("bob", 2, 3),
        ("alice", 1, 2),
    ]
    assert [row.user for row in seen.latest] == ["bob", "bob", "alice"]
    assert seen.skews == Counter({2 * SECOND: 1, 12 * SECOND: 1})

    drawn = charts.agreement(seen, 0.99)
    assert drawn is not None
    assert summary(drawn.drawing).startswith("Agreement 40.0 % (")
    assert list(drawn.y) == ["100 %", "50 %", "0 %"]
    histogram = charts.skews(seen, settings.comparison.tolerance)
    assert histogram is not None
    bars = [part for part in rectangles(histogram.drawing) if part["look"] == "matched"]
    middle = 500
    assert [bar["x"] > middle for bar in bars] == [True, True]
    assert {bar["height"] for bar in bars} == {100.0}


def test_returns_are_drawn_from_none_to_all(tmp_path: Path) -> None:
    settings = settings_from({"rollout": None}, monitor_types(plugin_manager()))
    empty = read_figures(record(tmp_path, []), settings, NOW - PERIODS["1h"], NOW)
    arm = DashboardArm(
        {Return.RETURNED: 3, Return.LOST: 1, Return.REPLACED: 9, None: 2},
        proofs=0,
        delays={0: 1, 60 * SECOND: 2},
    )
    assert (arm.acted, arm.returned, arm.settled) == (15, 3, 4)
    chart = charts.rate(arm, Role.CANDIDATE)
    assert chart is not None
    assert summary(chart.drawing).startswith("candidate: 75.0 % came back")
    dots = re.findall(r'<line x1="([^"]*)"[^>]*class="dot candidate"', chart.drawing)
    assert [float(x) for x in dots] == [750]
    seen = replace(empty, arms={Role.CANDIDATE: arm})
    soon = charts.delays(seen, Role.CANDIDATE, settings.comparison.return_window)
    assert soon is not None
    assert [(bar["x"], bar["height"]) for bar in rectangles(soon.drawing)] == [(0, 50), (500, 100)]


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    settings = settings_from({"rollout": None}, monitor_types(plugin_manager()))
    seen = read_figures(record(tmp_path, []), settings, NOW - PERIODS["1h"], NOW)
    assert charts.agreement(seen, 0.99) is None
    assert charts.skews(seen, settings.comparison.tolerance) is None
    for role in Role:
        assert charts.rate(seen.arms[role], role) is None
        assert charts.delays(seen, role, settings.comparison.return_window) is None


def test_an_episode_is_drawn_to_scale(tmp_path: Path) -> None:
    reader = record(tmp_path, [("alice", 100, 12)])
    episode = reader.episode(1)
    assert episode is not None
    row: VerdictRow = episode.verdict
    assert row.skew == 12 * SECOND
    drawn, _ = draw_lanes(episode)
    assert summary(drawn["control"]) == "the control decided after 60.0 s"
    assert summary(drawn["candidate"]) == "the candidate decided after 48.0 s"
    widths = {who: rectangles(drawn[who])[0]["width"] for who in ("control", "candidate")}
    assert widths["candidate"] / widths["control"] == pytest.approx(48 / 60, abs=0.001)


def test_names_cannot_break_out_of_a_drawing() -> None:
    chart = charts.stages({Stage.OFF: 1, Stage.SHADOW: 0, Stage.LIVE: 0, Stage.COMPLETE: 0}, '"><x')
    assert "<x" not in chart.drawing
