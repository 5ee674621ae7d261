"""What is seen: on a terminal and without one, and where the trace of an app that stayed away is."""

import asyncio
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType

from shim.demo.client_history import ClientHistories
from shim.demo.demo_clients import demo_clients
from shim.demo.demo_screen import demo_screen, print_lines
from shim.demo.demo_service import demo_service
from shim.demo.demo_settings import FACTOR, flags_file, settings_value
from shim.demo.lost_app import LostApp
from shim.demo.operator import Operator
from shim.demo.rollout_steps import rollout_steps
from shim.demo.rollout_view import RolloutView
from shim.demo.step_taker import StepProgress
from shim.ledger.protocols import Episode
from shim.ledger.rows import DecisionRow, RunRow
from shim.model import SECOND, Role, Stage, VerdictKind, VerdictName
from tests.demo.good_rollouts import about, at, verdict
from tests.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Counting:
    """A show that counts how often it was looked at."""

    def __init__(self) -> None:
        self.pictures = self.told = 0

    def picture(self, elapsed: float) -> RenderableType:
        self.pictures += 1
        return f"picture {self.pictures}"

    def lines(self, elapsed: float) -> Iterator[str]:
        self.told += 1
        yield f"line {self.told}"


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(
        file=StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


async def test_plain_lines_where_there_is_no_terminal() -> None:
    show, console = Counting(), Console(file=StringIO())
    async with demo_screen(console, show.lines, show.picture):
        await until(lambda: show.told >= 3)
    assert text_of(console).splitlines() == [f"line {n + 1}" for n in range(show.told)]
    assert show.pictures == 0


async def test_a_picture_on_a_terminal_and_nothing_of_it_stays() -> None:
    show, console = Counting(), terminal()
    async with demo_screen(console, show.lines, show.picture):
        await until(lambda: show.pictures >= 2)
    text = text_of(console)
    assert show.told == show.pictures
    assert f"line {show.told}" in text
    assert f"picture {show.pictures}" in text
    assert text.endswith("\x1b[2K")


async def test_a_picture_that_cannot_be_drawn_is_no_secret() -> None:
    class Broken(Counting):
        def lines(self, elapsed: float) -> Iterator[str]:
            raise ValueError("no picture")

    show = Broken()
    with pytest.raises(ValueError, match="no picture"):
        async with demo_screen(Console(file=StringIO()), show.lines, show.picture):
            await asyncio.sleep(0)


def test_words_and_indentation_stay_whole_and_addresses_can_be_copied() -> None:
    address = "http://127.0.0.1:16686/trace/" + TRACE
    console = terminal(width=40)
    print_lines(console, ["  many words that do not fit into one line", "", f"  trace: {address}"])
    lines = text_of(console).splitlines()
    assert [line.rstrip() for line in lines] == [
        *("  many words that do not fit into one", "  line", "", f"  trace: {address}")
    ]


@pytest.mark.real
@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (100, 30), (130, 50)])
async def test_the_rollout_fits_a_terminal(tmp_path: Path, width: int, height: int) -> None:
    flags = tmp_path / "rollout.yaml"
    flags.write_bytes(flags_file())
    ledger = str(tmp_path / "ledger.db")
    histories = ClientHistories(demo_clients(36))
    steps = rollout_steps(FACTOR, ledger, None)
    async with demo_service(settings_value(FACTOR, ledger), [histories], flags) as service:
        operator = Operator(service, flags, histories, seconds=1, patience=1)
        view = RolloutView(operator, steps, FACTOR)
        operator.progress += [StepProgress(steps[0], at(0), 1.5), StepProgress(steps[1], at(1))]
        calm, braked, lines = (terminal(width, height) for _ in range(3))
        calm.print(view.picture(1))
        service.shim.engage_brake("a test")
        braked.print(view.picture(2))
        news = list(view.lines(1.5))
        print_lines(lines, [*view.heading(), *news])
        assert [line for line in news if line.startswith("1.5 s")] == [
            "1.5 s  1/6  off for everybody",
            "1.5 s  2/6  shadow for everybody",
        ]
        assert "   ✓ all clients are connected (after 1.5 s; connections: )" in news
        assert list(view.lines(2)) == []
        assert f"SHIM_OPERATOR_TOKEN={service.secrets.operator_token}" in text_of(lines)
        assert service.url in text_of(lines)
    for console in (calm, braked, lines):
        assert all(len(line) <= width for line in text_of(console).splitlines())
    for console in (calm, braked):
        text = text_of(console)
        assert len(text.splitlines()) < height - 5
        assert "closed with 1001" in text
        assert all(str(stage) in text for stage in Stage)
        assert "Both monitors decided alike 0 times, otherwise 0 times." in text
        assert "step 2 of 6" in text
    assert "no brake" in text_of(calm)
    assert "BRAKE ENGAGED" in text_of(braked)


def lost_app(**changes: Any) -> LostApp:
    row = verdict("sdk", at(1), VerdictName.MATCHED, VerdictKind.BOTH)
    decision = DecisionRow(
        **about("sdk"),
        role=Role.CANDIDATE,
        acted=True,
        at=at(1) - SECOND,
        deadline=at(1) - SECOND,
        silence=2 * SECOND,
        code=1001,
        pings=(),
    )
    run = RunRow(
        uuid="0" * 32,
        started_at=at(0),
        pid=1,
        version="1",
        settings="",
        tolerance=SECOND,
        window=SECOND,
        return_window=SECOND,
    )
    facts: dict[str, Any] = {"collected": None, "trace_url": None, "trace": None, **changes}
    row = msgspec.structs.replace(row, id=7, trace=facts.pop("trace"))
    episode = Episode(
        verdict=row,
        run=run,
        decisions=[decision],
        late=[],
        action=None,
        closing=None,
        proofs=[],
        failures=[],
        stages=[],
        pauses=[],
    )
    return LostApp(episode, "/somewhere/ledger.db", **facts)


def shown(given: LostApp, *, kept: bool = False) -> str:
    file = StringIO()
    given.show(Console(file=file), kept=kept)
    return file.getvalue()


def test_without_a_collector_it_says_how_to_have_one() -> None:
    text = shown(lost_app())
    assert "episode 7, sdk, app" in text
    assert "+2.00 s  the candidate decides" in text
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http" in text
    assert "docs/telemetry.md" in text
    assert "shim verdicts 7 --ledger FILE" in text


def test_with_a_collector_it_names_the_trace() -> None:
    assert f"its trace: {TRACE}\n" in shown(lost_app(trace=TRACE, collected=True))
    url = lost_app(trace=TRACE, collected=True, trace_url="http://there/{trace_id}?x")
    assert f"its trace: http://there/{TRACE}?x\n" in shown(url)
    assert "takes no spans" in shown(lost_app(trace=TRACE, collected=False))


def test_a_kept_ledger_is_named() -> None:
    assert "shim verdicts 7 --ledger /somewhere/ledger.db\n" in shown(lost_app(), kept=True)
