"""One episode as sentences: what happened when, and why the verdict is what it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from shim.ledger.protocols import Episode, uncompared
from shim.ledger.rows import ActionRow, ClosingRow, DecisionRow, Wall
from shim.model import Duration, Return, Role, VerdictKind, VerdictName, seconds

_NO_CLOSE_FRAME = 1006
_ONLY = {VerdictKind.ONLY_CONTROL: Role.CONTROL, VerdictKind.ONLY_CANDIDATE: Role.CANDIDATE}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline."""

    at: Wall
    text: str


def moments(episode: Episode) -> list[Moment]:
    """Everything about the episode, in the order in which it happened."""
    return sorted(_moments(episode), key=attrgetter("at"))


def why(episode: Episode) -> str:
    """The verdict with its reason, in one sentence."""
    verdict = episode.verdict
    reason = _reason(episode)
    if verdict.verdict is VerdictName.EXPECTED:
        return f"expected by rule {verdict.rule!r}: {reason}"
    return f"{verdict.verdict}: {reason}"


def _moments(episode: Episode) -> Iterator[Moment]:
    verdict = episode.verdict
    yield Moment(verdict.last_activity, "last sign of life")
    for pause in episode.pauses:
        length = _format_seconds(pause.at - pause.since)
        yield Moment(pause.since, f"the server did not run for {length}")
    for stage in episode.stages:
        yield Moment(stage.at, f"the user's stage changes from {stage.before} to {stage.after}")
    for failure in episode.failures:
        yield Moment(failure.at, f"the {failure.role} fails in {failure.call}: {failure.reason}")
    too_late = uncompared(episode.decisions, episode.late)
    for decision in episode.decisions:
        acting = verdict.acting is decision.role
        yield from _decision(decision, decision in too_late, acting)
    yield from _without_details(episode)
    if episode.action is not None:
        yield from _action(episode.action, episode.run.return_window)
    for proof in episode.proofs:
        text = f"proof of life: the client spoke after the {proof.role} had closed its connection"
        yield Moment(proof.at, text)
    if episode.closing is not None:
        yield _closing(episode.closing)
    yield Moment(verdict.at, why(episode))


def _decision(decision: DecisionRow, late: bool, acting: bool) -> Iterator[Moment]:
    role = decision.role
    for ping in decision.pings:
        yield Moment(ping, f"the {role} pings; no answer" if acting else f"the {role} would ping")
    text = f"the {role} decides: no sign of life for {_format_seconds(decision.silence)}"
    if decision.at > decision.deadline:
        text += f", {_format_seconds(decision.at - decision.deadline)} over its limit"
    if late:
        text += "; too late to be compared"
    elif not decision.acted:
        text += "; it does not act, so that is only recorded"
    yield Moment(decision.at, text)


def _without_details(episode: Episode) -> Iterator[Moment]:
    """Decisions of which the ledger has only the time: their rows were dropped, or are too old."""
    verdict = episode.verdict
    too_late = uncompared(episode.decisions, episode.late)
    known = {row.role for row in episode.decisions if row not in too_late}
    for role, at in ((Role.CONTROL, verdict.control_at), (Role.CANDIDATE, verdict.candidate_at)):
        if at is not None and role not in known:
            yield Moment(at, f"the {role} decides; no more is recorded")


def _action(action: ActionRow, return_window: Duration) -> Iterator[Moment]:
    ends = "terminates the connection"
    if action.code is not None:
        ends = f"closes the connection with code {action.code}"
    yield Moment(action.acted_at, f"the {action.role} acts: it {ends}")
    if action.at is None:
        yield Moment(action.acted_at, "whether the client comes back is not known yet")
        return
    match action.result:
        case Return.RETURNED:
            delay = _format_seconds(action.delay or 0)
            text = f"the client comes back, {delay} after it was closed"
        case Return.LOST:
            window = _format_seconds(return_window)
            text = f"the client is lost: it has not come back within {window}"
        case Return.REPLACED:
            text = "the client had a newer connection already"
        case _:
            text = "whether the client comes back is not known: nobody was there to see it"
    yield Moment(action.at, text)


def _closing(closing: ClosingRow) -> Moment:
    intended = "no close frame was sent" if closing.intended is None else f"sent {closing.intended}"
    observed = (
        "none came from the client"
        if closing.observed == _NO_CLOSE_FRAME
        else f"the client's code was {closing.observed}"
    )
    by = "the other side" if closing.cause == "peer" else f"the {closing.cause}"
    return Moment(closing.at, f"the connection is gone, ended by {by}: {intended}, {observed}")


def _reason(episode: Episode) -> str:
    verdict, run = episode.verdict, episode.run
    match verdict.kind:
        case VerdictKind.BOTH:
            return (
                f"{_apart(verdict.skew)}; up to {_format_seconds(run.tolerance)} count as agreement"
            )
        case VerdictKind.SKEWED:
            return f"{_apart(verdict.skew)}; only up to {_format_seconds(run.tolerance)} count as agreement"
        case VerdictKind.ONLY_CONTROL | VerdictKind.ONLY_CANDIDATE:
            decider = _ONLY[verdict.kind]
            if verdict.improvement:
                return (
                    "an improvement: the control alone decided, and then the client gave a sign of life, "
                    "which proved the control wrong; the candidate waited"
                )
            if verdict.recovered:
                return (
                    f"the {decider} alone decided, and then the client gave a sign of life: "
                    "it would have closed a live connection"
                )
            return (
                f"the {decider} alone decided; within {_format_seconds(run.window)} "
                f"the {decider.other} did not"
            )
        case VerdictKind.CLOSED:
            return f"the connection was closed {_before(verdict.first)}"
        case VerdictKind.HANDOVER:
            return f"the user's stage changed {_before(verdict.first)}"
        case VerdictKind.SHUTDOWN:
            return f"the shim stopped {_before(verdict.first)}"
        case VerdictKind.ERROR:
            return "a monitor failed on this connection"
        case VerdictKind.HELD:
            return (
                "the guard held the close, and the client gave a sign of life: many connections timed out "
                "at once, so nobody knows which monitor was right"
            )


def _before(first: Role | None) -> str:
    return "before both had decided" if first is None else f"before the {first.other} had decided"


def _apart(skew: Duration | None) -> str:
    """Which monitor decided later, and how much."""
    if not skew:
        return "both decided at the same moment"
    later = Role.CONTROL if skew > 0 else Role.CANDIDATE
    return f"the {later} decided {_format_seconds(abs(skew))} after the {later.other}"


def _format_seconds(duration: Duration) -> str:
    return f"{round(seconds(duration), 3):g} s"
