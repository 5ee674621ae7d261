"""R16: what a trial is, what begins and ends it, and which attempt it is."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.gate.trial import (
    OTHERS_ENDED,
    IdentitySpan,
    Trial,
    TrialIdentity,
    TrialUsers,
    count_attempts,
    find_differences,
    find_trials,
)
from shim.model import SECOND, Time

HOUR = 3600 * SECOND
DAY = 24 * HOUR
OLD = TrialIdentity("m1", "c1", "f1")
NEW = TrialIdentity("m1", "c1", "f2")
HALVES = TrialUsers(50, 50)


def span(run: int, since: Time, until: Time | None, identity: TrialIdentity = OLD) -> IdentitySpan:
    return IdentitySpan(run, since, until, identity)


def bounds(trials: tuple[Trial, ...]) -> list[tuple[TrialIdentity, Time, Time | None, str]]:
    return [(trial.identity, trial.since, trial.until, trial.began_by) for trial in trials]


def test_without_a_process_there_is_no_trial() -> None:
    assert find_trials([], [], 10) == ()


def test_one_process_is_one_trial_that_goes_on() -> None:
    trials = find_trials([span(1, 5, None)], [], 10)
    assert bounds(trials) == [(OLD, 5, None, "start")]
    assert trials[0].lasted(10) == 5


def test_a_trial_has_lasted_until_now_and_at_most_until_its_end() -> None:
    ended = Trial(OLD, 5, 20, "start", ())
    assert [ended.lasted(now) for now in (10, 20, 30)] == [5, 15, 15]


def test_a_restart_with_nothing_changed_goes_on() -> None:
    trials = find_trials([span(1, 5, 20), span(2, 30, None)], [], 40)
    assert bounds(trials) == [(OLD, 5, None, "start")]
    assert [part.run for part in trials[0].spans] == [1, 2]


def test_changed_flags_begin_another_trial() -> None:
    trials = find_trials([span(1, 5, 20), span(1, 20, None, NEW)], [], 40)
    assert bounds(trials) == [(OLD, 5, 20, "start"), (NEW, 20, None, "flags")]


def test_going_back_begins_a_third_trial() -> None:
    trials = find_trials([span(1, 0, 10), span(1, 10, 20, NEW), span(1, 20, None)], [], 40)
    assert [trial.identity for trial in trials] == [OLD, NEW, OLD]
    assert [part.since for part in trials[2].spans] == [20]


def test_a_rolling_deploy_is_no_trial_until_the_last_old_process_is_gone() -> None:
    old = [span(1, 0, 100), span(2, 0, 130)]
    new = [span(3, 90, None, NEW), span(4, 120, None, NEW)]
    assert bounds(find_trials([*old, *new], [], 200)) == [
        (OLD, 0, 90, "start"),
        (NEW, 130, None, "flags"),
    ]
    assert bounds(find_trials([*old, *new], [], 125)) == [(OLD, 0, 90, "start")]


def test_a_release_of_the_brake_begins_another_trial() -> None:
    trials = find_trials([span(1, 0, None)], [50], 100)
    assert bounds(trials) == [(OLD, 0, 50, "start"), (OLD, 50, None, "brake released")]
    assert find_trials([span(1, 0, None)], [50], 49)[0].until is None


def test_a_release_between_two_processes_counts_too() -> None:
    trials = find_trials([span(1, 0, 10), span(2, 30, None)], [20], 100)
    assert bounds(trials) == [(OLD, 0, 20, "start"), (OLD, 20, None, "brake released")]


IDENTITIES = (OLD, NEW, TrialIdentity("m2", "c1", "f1"))
SPANS = st.lists(
    st.builds(
        lambda run, since, length, which: span(
            run, since, None if length is None else since + length, IDENTITIES[which]
        ),
        st.integers(1, 4),
        st.integers(0, 30),
        st.none() | st.integers(1, 15),
        st.integers(0, 2),
    ),
    max_size=6,
)


def lives(spans: Iterable[IdentitySpan], instants: Iterable[Time]) -> Counter[tuple[int, Time]]:
    """The run of each process that is alive at each of these instants."""
    return Counter(
        (one.run, at)
        for at in instants
        for one in spans
        if one.since <= at and (one.until is None or at < one.until)
    )


@given(SPANS, st.lists(st.integers(0, 40), max_size=2), st.integers(0, 45))
def test_each_instant_belongs_to_the_trial_of_all_that_live_then(
    spans: list[IdentitySpan], releases: list[Time], now: Time
) -> None:
    trials = find_trials(spans, releases, now)
    for at in range(now + 1):
        alive = {s.identity for s in spans if s.since <= at and (s.until is None or at < s.until)}
        inside = [t for t in trials if t.since <= at and (t.until is None or at < t.until)]
        assert len(inside) <= 1
        if len(alive) == 1:
            assert [t.identity for t in inside] == list(alive)
        elif alive:
            assert inside == []
    for trial in trials:
        assert not any(trial.since < at < (trial.until or now + 1) for at in releases)
        ends = now + 1 if trial.until is None else trial.until
        instants = [at for at in range(now + 1) if trial.since <= at < ends]
        assert lives(trial.spans, range(now + 1)) == lives(spans, instants)
        for part in trial.spans:
            assert part.identity == trial.identity
            assert part.since <= now
            assert part.until is None or part.until > part.since


def test_the_processes_of_a_trial_are_in_the_order_of_their_begins_and_then_of_their_runs() -> None:
    (trial,) = find_trials([span(1, 5, None), span(3, 0, None), span(2, 0, None)], [], 10)
    assert [part.run for part in trial.spans] == [2, 3, 1]


def test_a_trial_begins_again_when_the_processes_of_another_identity_have_ended() -> None:
    assert bounds(find_trials([span(1, 0, None), span(2, 10, 20, NEW)], [], 100)) == [
        (OLD, 0, 10, "start"),
        (OLD, 20, None, OTHERS_ENDED),
    ]


PARTS = ("monitors", "comparison", "flags")
OF_ANY_IDENTITY = st.lists(
    st.builds(
        lambda since, length, parts: span(
            1, since, None if length is None else since + length, TrialIdentity(*parts)
        ),
        st.integers(0, 10),
        st.none() | st.integers(1, 10),
        st.tuples(*(st.sampled_from("ab") for _ in PARTS)),
    ),
    max_size=4,
)


def test_a_process_that_has_just_ended_differs_from_nobody() -> None:
    spans = [span(1, 0, 10, NEW), span(2, 5, None)]
    assert [find_differences(spans, now) for now in (4, 9, 10)] == [(), ("flags",), ()]


@given(OF_ANY_IDENTITY, st.integers(0, 20))
def test_the_parts_in_which_living_processes_differ_are_named(
    spans: list[IdentitySpan], now: Time
) -> None:
    alive = [s.identity for s in spans if s.since <= now < (s.until or now + 1)]
    pairs = [(one, other) for one in alive for other in alive]
    expected = [
        part for part in PARTS if any(getattr(a, part) != getattr(b, part) for a, b in pairs)
    ]
    assert find_differences(spans, now) == tuple(expected)


@pytest.mark.parametrize(
    ("users", "lasted", "counts"),
    [
        (HALVES, DAY, True),
        (HALVES, DAY - 1, False),
        (TrialUsers(75, 25), DAY, True),
        (TrialUsers(76, 24), DAY, False),
        (TrialUsers(24, 76), DAY, False),
        (TrialUsers(1, 1), DAY, True),
        (TrialUsers(0, 0), DAY, False),
        (TrialUsers(50, 50, soak=6 * HOUR), 6 * HOUR, True),
        (TrialUsers(50, 50, soak=6 * HOUR), 6 * HOUR - 1, False),
        (TrialUsers(50, 50, soak=2 * DAY), DAY, True),
    ],
)
def test_an_earlier_trial_counts_as_an_attempt(
    users: TrialUsers, lasted: Time, counts: bool
) -> None:
    now = 100 * DAY
    earlier = Trial(OLD, 50 * DAY, 50 * DAY + lasted, "start", ())
    last = Trial(NEW, 60 * DAY, None, "flags", ())
    attempts = count_attempts([(earlier, users), (last, TrialUsers(99, 1))], DAY, now)
    assert attempts == 1 + counts


def test_attempts_are_forgotten_after_90_days() -> None:
    earlier = Trial(OLD, 0, 5 * DAY, "start", ())
    last = Trial(NEW, 5 * DAY, None, "flags", ())
    both = [(earlier, HALVES), (last, HALVES)]
    assert count_attempts(both, DAY, 95 * DAY - 1) == 2
    assert count_attempts(both, DAY, 95 * DAY) == 1


def test_a_trial_is_recent_while_it_goes_on_and_for_ninety_days() -> None:
    ended = Trial(OLD, 0, 10 * DAY, "start", ())
    assert ended.is_recent(100 * DAY - 1)
    assert not ended.is_recent(100 * DAY)
    assert Trial(OLD, 0, None, "start", ()).is_recent(1_000 * DAY)
