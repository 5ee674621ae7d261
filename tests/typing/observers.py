"""An observer of typed events, and the two directions of OpenFeature."""

from pathlib import Path
from typing import assert_type

from openfeature.api import get_client
from openfeature.provider import AbstractProvider

from shim.flags.evaluation import Evaluation
from shim.flags.targeting import everyone_at
from shim.model import Connection, FlagsLoad, Role, Stage, Verdict
from shim.openfeature import FileProvider, OpenFeatureStages
from shim.router import BrakeChanged, Decided, Event, Noted, Observer, handles


class Counting(Observer):
    decisions = 0

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        assert_type(decided.connection, Connection)
        assert_type(decided.role, Role)
        assert_type(decided.acted, bool)
        self.decisions += 1

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        assert_type(brake.engaged, bool)


def tell(observer: Observer, verdict: Verdict, load: FlagsLoad) -> None:
    event: Event = verdict
    observer.on(event)
    observer.on(load)
    observer.on(Noted(Role.CONTROL, "hello"))
    observer.on("no event")  # type: ignore[arg-type]


provider: AbstractProvider = FileProvider(Path("config/rollout.yaml"))
stages = OpenFeatureStages(get_client(), fallback=everyone_at(Stage.OFF).evaluate)
assert_type(stages.evaluate("alice@example.com"), Evaluation)
