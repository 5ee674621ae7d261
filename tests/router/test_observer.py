"""Observers: one door for all events, and a fan-out in which none disturbs another."""

import logging
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest

from shim.model import Cause, Closing, FlagsLoad, LateDecision, Role, Stage
from shim.router import BrakeChanged, ClockJumped, Event, Noted, Observer, handles
from shim.runtime.fanout import Fanout
from shim.runtime.lifecycle_log import LifecycleLog
from tests.router.helpers import S
from tests.telemetry.records import APP

NOTE = Noted(Role.CONTROL, "hello")
LOAD = FlagsLoad(at=0, file="rollout.yaml", digest="d1")


class Notes(Observer):
    def __init__(self, told: list[str], name: str = "notes") -> None:
        self.told = told
        self.name = name

    @handles(Noted)
    def _noted(self, note: Noted) -> None:
        self.told.append(f"{self.name}: {note.text}")


class Louder(Notes):
    @handles(Noted)
    def _shouted(self, note: Noted) -> None:
        self.told.append(f"{self.name}: {note.text.upper()}")

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self.told.append(f"{self.name}: {brake.reason}")


class Broken(Observer):
    @handles(Noted)
    def _noted(self, note: Noted) -> None:
        raise ValueError(note.text)


def test_an_observer_is_told_of_the_types_that_its_methods_are_marked_with() -> None:
    told: list[str] = []
    observer = Notes(told)
    for event in (LOAD, NOTE, BrakeChanged(True, "by hand", 0)):
        observer.on(event)
    assert told == ["notes: hello"]
    assert observer.handler(FlagsLoad) is None


def test_a_subclass_adds_to_what_is_handled_and_replaces_it() -> None:
    told: list[str] = []
    for event in (NOTE, BrakeChanged(True, "by hand", 0)):
        Louder(told).on(event)
    Notes(told).on(NOTE)
    assert told == ["notes: HELLO", "notes: by hand", "notes: hello"]


class Labelled:
    """A base that makes something of its subclasses, too."""

    label: ClassVar[str]

    def __init_subclass__(cls, label: str = "", **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.label = label


def test_an_observer_may_have_another_base_that_looks_at_its_subclasses() -> None:
    class Shown(Notes, Labelled, label="shown"):
        pass

    told: list[str] = []
    Shown(told).on(NOTE)
    assert (Shown.label, told) == ("shown", ["notes: hello"])


def test_every_type_of_event_is_delivered_and_nothing_else_is_one() -> None:
    told: list[Event] = []

    everything: type[Observer] = Observer
    for kind in get_args(Event):
        method = handles(kind)(lambda self, event: told.append(event))
        everything = type("Everything", (everything,), {"_handler": method})
    events: list[Event] = [NOTE, LOAD, LateDecision(APP, Role.CONTROL, 0, None)]
    fanout = Fanout([everything()])
    for event in events:
        fanout.on(event)
    assert told == events
    with pytest.raises(KeyError):
        fanout.on("no event")  # type: ignore[arg-type]


def test_r5_an_observer_that_raises_is_logged_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []
    inner = Fanout([Broken(), Notes(told, "first")])
    inner.add(Notes(told, "second"))
    with caplog.at_level(logging.ERROR):
        Fanout([inner, Notes(told, "last")]).on(NOTE)
    assert told == ["first: hello", "second: hello", "last: hello"]
    (record,) = caplog.records
    assert record.getMessage() == "observer Broken._noted failed"
    assert record.name == "shim.runtime.fanout"


def test_a_jump_of_the_wall_clock_in_a_run_is_logged_with_how_the_runs_time_stands_to_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A jump that was found at the start has none: from then on the two agree."""
    for jump in (
        ClockJumped(at=9 * S, by=60 * S, ahead=61 * S),
        ClockJumped(at=0, by=-60 * S, ahead=0, before_start=True),
    ):
        LifecycleLog().on(jump)
    in_run, before = caplog.messages
    assert "jumped ahead by 60.0 s" in in_run
    assert in_run.endswith("which is now 61.0 s behind the wall clock")
    assert "jumped back by at least 60.0 s between the run before and this run" in before


def test_the_documented_observer_gets_closings() -> None:
    page = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
    example = page.partition("## Events")[2].partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(example, names)
    closings = names["Closings"]()
    closing = Closing(
        connection=APP,
        stage=Stage.LIVE,
        opened_at=0,
        at=1,
        cause=Cause.PEER,
        intended=None,
        observed=1000,
    )
    Fanout([closings]).on(closing)
    assert closings.codes == [1000]
