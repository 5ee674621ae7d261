"""What is seen: on a terminal and without one, and where the trace of a mismatch is."""

import asyncio
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType

from shim.demo.checks import Cell, Result
from shim.demo.layout import Stack
from shim.demo.log import LastLines
from shim.demo.mismatch import Mismatch
from shim.demo.production import Options, Production
from shim.demo.rollout.play import Mark, Play
from shim.demo.rollout.scenario import flags_file, old_release, settings_value
from shim.demo.rollout.steps import STEPS
from shim.demo.rollout.view import RolloutView
from shim.demo.scenario import FACTOR, Behaviour
from shim.demo.screen import Screen
from shim.demo.serving import serve
from shim.demo.story import Stories
from shim.demo.summary import Summary
from shim.demo.view import View
from shim.ledger.protocols import Episode
from shim.ledger.rows import DecisionRow, RunRow
from shim.model import SECOND, Role, Stage, VerdictKind, VerdictName
from tests.demo.rollouts import about, at, verdict
from tests.live.servers import until

REPORT: dict[str, Any] = {
    "agreement": {"share": None, "matched": 0, "conclusive": 0},
    "kinds": {},
    "verdicts": {},
    "late": 0,
    "decisions": {key: {"acted": 0, "recorded": 0} for key in Role},
    "outcomes": {key: {} for key in Role},
    "proofs_of_life": dict.fromkeys(Role, 0),
    "pauses": {"count": 0, "seconds": 0.0},
}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Counting:
    """A show that counts how often it was looked at."""

    interval = 0.01

    def __init__(self) -> None:
        self.pictures = self.told = 0

    def heading(self) -> str:
        return "it begins"

    def picture(self, elapsed: float) -> RenderableType:
        self.pictures += 1
        return f"picture {self.pictures}"

    def lines(self, elapsed: float) -> Iterator[str]:
        self.told += 1
        yield f"line {self.told}"


async def test_plain_lines_where_there_is_no_terminal() -> None:
    show, file = Counting(), StringIO()
    async with Screen(show, Console(file=file)):
        await until(lambda: show.told >= 3)
    lines = file.getvalue().splitlines()
    assert lines == ["it begins", *(f"line {n + 1}" for n in range(show.told))]
    assert show.pictures == 0


async def test_a_picture_on_a_terminal_and_nothing_of_it_stays() -> None:
    show, file = Counting(), StringIO()
    async with Screen(show, Console(file=file, force_terminal=True, color_system=None)):
        await until(lambda: show.pictures >= 2)
    assert show.told == 0
    assert f"picture {show.pictures}" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")


async def test_a_picture_that_cannot_be_drawn_is_no_secret() -> None:
    class Broken(Counting):
        def lines(self, elapsed: float) -> Iterator[str]:
            raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        async with Screen(Broken(), Console(file=StringIO())):
            await asyncio.sleep(0.05)


@pytest.mark.real
@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (100, 30), (130, 50)])
async def test_both_acts_fit_a_terminal(tmp_path: Path, width: int, height: int) -> None:
    flags = tmp_path / "rollout.yaml"
    flags.write_bytes(flags_file())
    stories = Stories(old_release(36))
    console = Console(
        file=StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )
    production = Production(
        Options(32, 36, FACTOR, 0, False), console, tmp_path, LastLines(), asyncio.Event()
    )
    settings = settings_value(FACTOR, str(tmp_path / "ledger.db"))
    async with serve(settings, [stories], flags) as served:
        newcomers = production.crew([], served)
        play = Play(served, flags, stories.by_client, newcomers, seconds=1, patience=1)
        play.marks += [Mark(STEPS[0], at(0), 1.5), Mark(STEPS[1], at(1))]
        act_one = View(served, stories, ["a line"], FACTOR, 38, console)
        act_two = RolloutView(served, play, stories, ["a line"], FACTOR, 22, console)
        console.print(act_one.picture(1))
        first = console.file.getvalue()
        console.print(act_two.picture(1))
        calm = console.file.getvalue()
        served.shim.engage_brake("a test")
        stories.guard(True, 100, 0)
        console.print(act_two.picture(2))
        braked = console.file.getvalue()[len(calm) :]
        (line,) = act_two.lines(1.5)
        assert line.startswith("  1.5 s  everybody off: all clients are here")
        assert list(act_two.lines(2)) == []
    assert all(len(line) <= width for line in (calm + braked).splitlines())
    for picture in (first, calm[len(first) :], braked):
        assert len(picture.splitlines()) < height
        assert "candidate " in picture
        assert "inconclusive" in picture
        assert "a line" in picture
    lines = first.splitlines()
    assert lines[3].startswith("sdk  ")
    assert [line.split()[0] for line in lines[4:9]] == [
        *("healthy", "frozen", "silent", "dropped", "flapping")
    ]
    assert "brake released   guard calm" in calm
    assert "BRAKE ENGAGED   GUARD HOLDS" in braked
    assert all(str(stage) in calm for stage in Stage)
    assert "✓ 1.5 s  everybody off" in calm
    assert all(f" {step.title[:12]}" in calm for step in STEPS)


@pytest.mark.parametrize(
    ("height", "shown"),
    [(3, "ab"), (4, "abc"), (5, "abcd"), (7, "abcddd"), (9, "a b c dd"), (30, "a b c dddd")],
)
def test_what_matters_least_gives_way(height: int, shown: str) -> None:
    """As many parts as there are lines for but one, with space between them where there is some."""
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=20, height=height, color_system=None)
    console.print(Stack("abc", lambda rest: "\n".join("d" * rest), least=1, most=4))
    assert "".join(line or " " for line in file.getvalue().splitlines()) == shown


def summary(console: Console) -> str:
    cell = Cell(Behaviour.SDK, Stage.OFF, (), FACTOR, 0)
    wanted = "control closes (1006); at a sweep; come back"
    results = [Result(cell, 8, wanted, "27 x 1006; 27 back", ("at a sweep: closed too soon",))]
    Summary(results, REPORT, (), 0, FACTOR).show(console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_words_of_the_summary_stay_whole(width: int) -> None:
    text = summary(Console(file=StringIO(), force_terminal=True, width=width, color_system=None))
    assert all(len(line) <= width for line in text.splitlines())
    for words in ("control closes (1006);", "27 x 1006; 27 back", "! at a sweep:", "FAILED"):
        assert words in text


def mismatch(**changes: object) -> Mismatch:
    row = verdict("silent", at(1), VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE)
    decision = DecisionRow(
        **about("silent"),
        role=Role.CANDIDATE,
        acted=False,
        at=at(1) - SECOND,
        deadline=at(1) - SECOND,
        silence=2 * SECOND,
        code=1001,
        pings=(),
    )
    run = RunRow(
        started_at=at(0),
        pid=1,
        version="1",
        settings="",
        tolerance=SECOND,
        window=SECOND,
        return_window=SECOND,
    )
    facts: dict[str, object] = {"collected": None, "trace_url": None, "trace": None, **changes}
    row = msgspec.structs.replace(row, id=7, trace=facts.pop("trace"))
    episode = Episode(row, run, [decision], [], None, None, [], [], [], [])
    return Mismatch(episode, Path("/somewhere/ledger.db"), **facts)


def told(given: Mismatch, *, kept: bool = False) -> str:
    file = StringIO()
    given.show(Console(file=file), kept=kept)
    return file.getvalue()


def test_without_a_collector_it_says_how_to_have_one() -> None:
    text = told(mismatch())
    assert "episode 7, silent, app" in text
    assert "+2.00 s  the candidate decides" in text
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http" in text
    assert "docs/telemetry.md" in text
    assert "shim verdicts 7 --ledger FILE" in text


def test_with_a_collector_it_names_the_trace() -> None:
    assert f"its trace: {TRACE}\n" in told(mismatch(trace=TRACE, collected=True))
    url = mismatch(trace=TRACE, collected=True, trace_url="http://there/{trace_id}?x")
    assert f"its trace: http://there/{TRACE}?x\n" in told(url)
    assert "takes no spans" in told(mismatch(trace=TRACE, collected=False))


def test_a_kept_ledger_is_named() -> None:
    assert "shim verdicts 7 --ledger /somewhere/ledger.db\n" in told(mismatch(), kept=True)
