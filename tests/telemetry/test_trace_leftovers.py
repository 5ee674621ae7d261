"""Any sequence of events: every episode has its trace, and nothing is kept after its end."""

import gc
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from shim.flags.targeting import everyone_at
from shim.model import Cause, Closing, Outcome, Return, Role, Stage
from shim.router import Decided, Guard, Opened
from shim.settings.sections import GuardSettings
from shim.telemetry import EpisodeSampler, TraceObserver
from tests.router.helpers import World
from tests.telemetry.recording import NOON, Recording, S, is_child, pseudonym, times, trace_of
from tests.telemetry.records import APP, decision, evaluation, verdict


class Announced:
    """Tells an observer of openings and ends, as the aiohttp side of the shim does."""

    def __init__(self, observer: TraceObserver, guard: Guard | None = None) -> None:
        self.world = World(observers=[observer], guard=guard)
        self.observer = observer
        self.alive: list[str] = []

    def open(self, id: str, stage: Stage, who: int) -> None:
        tracked = self.world.open(id, stage, user=f"u{who % 3}", session=f"s{who % 3}")
        flags = everyone_at(stage).evaluate(tracked.connection.user)
        now = self.world.now
        self.observer.on(
            Opened(
                connection=tracked.connection,
                evaluation=flags,
                stage=tracked.stage,
                acting=tracked.acting,
                at=now,
            )
        )
        self.alive.append(id)

    def end(self, id: str) -> None:
        tracked = self.world.tracked[id]
        self.alive.remove(id)
        cause = Cause.PEER
        if tracked.closed_by is not None:
            cause = Cause(tracked.closed_by.value)
        elif id in self.world.router:
            self.world.close(id)
        now = self.world.now
        stage, opened_at = tracked.stage, tracked.opened_at
        closing = Closing(
            connection=tracked.connection,
            stage=stage,
            opened_at=opened_at,
            at=now,
            cause=cause,
            intended=None,
            observed=1006,
        )
        self.observer.on(closing)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), stages=st.sets(st.sampled_from(Stage), min_size=1))
@example(seed=44, stages={Stage.LIVE})  # the guard holds the close of a late decision
def test_every_episode_has_its_trace_and_nothing_is_left_behind(
    seed: int, stages: set[Stage]
) -> None:
    """Through the real router: connections that talk, fall silent, move and end at random."""
    chance = random.Random(seed)
    recording = Recording()
    limits = GuardSettings(count=2, share=0.1)
    told = Announced(recording.observer, Guard(limits) if chance.random() < 0.5 else None)
    world = told.world
    recording_clock(recording, world)
    number = 0
    for _ in range(60):
        choice = chance.random()
        if choice < 0.2 or not told.alive:
            number += 1
            told.open(f"c{number}", chance.choice(sorted(stages)), chance.randrange(9))
        elif choice < 0.5:
            world.message(chance.choice(told.alive))
        elif choice < 0.6:
            told.end(chance.choice(told.alive))
        elif choice < 0.65:
            id = chance.choice(told.alive)
            if id in world.router:
                world.stage(id, chance.choice(sorted(Stage)))
        else:
            world.run(world.now / S + chance.choice([1, 15, 20, 45, 61]))
    world.router.shutdown(world.now)
    for id in list(told.alive):
        told.end(id)
    assert recording.leftovers() == 0
    roots = {
        trace_of(span): span
        for span in recording.spans
        if span.name.startswith("episode") and span.parent is None
    }
    journal = world.journal.verdicts
    assert {judged.trace for judged in journal} == set(roots)
    assert len(roots) == len(journal)
    for span in recording.spans:
        if span.name.endswith("silence"):
            assert is_child(span, roots[trace_of(span)])
    names = [span.name for span in recording.spans]
    assert sum(name in list(Return) for name in names) == len(world.journal.outcomes)
    for judged in journal:
        assert judged.trace is not None
        root = roots[judged.trace]
        assert times(root) == pytest.approx((judged.last_activity / S, judged.at / S))


def recording_clock(recording: Recording, world: World) -> None:
    recording.observer._spans._clock = lambda: world.now
    recording.observer._spans._wall = lambda: NOON + world.now * 1000


def test_many_verdicts_leave_nothing_behind() -> None:
    provider = TracerProvider(sampler=EpisodeSampler(), shutdown_on_exit=False)
    observer = TraceObserver(lambda: 0, pseudonym, lambda: NOON, provider)

    def rounds(count: int) -> int:
        for number in range(count):
            connection = type(APP)(f"c{number}", APP.kind, "u", "s", "p")
            observer.on(
                Opened(
                    connection=connection,
                    evaluation=evaluation(),
                    stage=Stage.LIVE,
                    acting=Role.CANDIDATE,
                    at=number,
                )
            )
            observer.on(Decided(connection, Role.CANDIDATE, decision(connection), True))
            observer.on(verdict(connection, acting=Role.CANDIDATE, at=number))
            observer.on(
                Closing(
                    connection=connection,
                    stage=Stage.LIVE,
                    opened_at=0,
                    at=number,
                    cause=Cause.CANDIDATE,
                    intended=1001,
                    observed=1001,
                )
            )
            observer.on(
                Outcome(
                    connection=connection,
                    role=Role.CANDIDATE,
                    result=Return.LOST,
                    acted_at=0,
                    at=number,
                    window_ends=number,
                    last_activity=0,
                )
            )
        gc.collect()
        return len(gc.get_objects())

    before = rounds(200)
    assert rounds(5000) - before < 200
