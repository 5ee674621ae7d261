"""One episode drawn: a lane for the client, for each monitor, and for the end of the socket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup

from shim.console.pages.formatting import duration
from shim.console.pages.svg import HEIGHT, WIDTH, Chart, dot, drawing, line, rectangle
from shim.ledger.protocols import Episode
from shim.ledger.rows import Wall
from shim.model import Return, Role

_MARGIN = 12
_Place: TypeAlias = Callable[[Wall], float]


@dataclass(frozen=True, slots=True)
class EpisodeLane:
    """`who` is `client`, `socket` or a role."""

    who: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class EpisodeChart:
    """The lanes share one axis of time, which `labels` stand below."""

    lanes: list[EpisodeLane]
    labels: tuple[str, str, str]


def draw_lanes(episode: Episode) -> EpisodeChart:
    start = episode.verdict.last_activity
    span = max(_end(episode) - start, 1)

    def place(at: Wall) -> float:
        return _MARGIN + (WIDTH - 2 * _MARGIN) * (at - start) / span

    drawn = [_client(episode, place), *(_monitor(episode, role, place) for role in Role)]
    if (socket := _socket(episode, place)) is not None:
        drawn.append(socket)
    labels = ("last sign of life", f"+{duration(span // 2)}", f"+{duration(span)}")
    return EpisodeChart(drawn, labels)


def _end(episode: Episode) -> Wall:
    """When the last of what is drawn happened."""
    times = [episode.verdict.at, *(at for at, _ in _signs_of_life(episode))]
    times += [decision.at for decision in episode.decisions]
    times += [] if episode.closing is None else [episode.closing.at]
    return max(times)


def _signs_of_life(episode: Episode) -> Iterator[tuple[Wall, str]]:
    verdict, action = episode.verdict, episode.action
    yield verdict.last_activity, "last sign of life"
    if verdict.recovered:
        yield verdict.at, "sign of life: it had been alive"
    for proof in episode.proofs:
        yield proof.at, "spoke after it had been closed"
    if action is not None and action.result is Return.RETURNED and action.at is not None:
        yield action.at, "came back"


def _client(episode: Episode, place: _Place) -> EpisodeLane:
    signs = list(_signs_of_life(episode))
    start = episode.verdict.last_activity
    summary = ", ".join(f"+{duration(at - start)} {what}" for at, what in signs)
    parts = [_axis(), *(dot(place(at), 50, "client", what) for at, what in signs)]
    return EpisodeLane("client", Chart(drawing(parts, summary), summary))


def _monitor(episode: Episode, role: Role, place: _Place) -> EpisodeLane:
    """The silence until the monitor decided; its pings are ticks in it."""
    verdict = episode.verdict
    start = verdict.last_activity
    decided = verdict.control_at if role is Role.CONTROL else verdict.candidate_at
    decisions = [decision for decision in episode.decisions if decision.role is role]
    if decided is None and decisions:
        decided = decisions[0].at
    if decided is None:
        summary = f"the {role} did not decide"
        return EpisodeLane(role, Chart(drawing([_axis()], summary), summary))
    summary = f"the {role} decided after {duration(decided - start)}"
    silence = rectangle(
        place(start), 30, place(decided) - place(start), 40, f"silence {role}", summary
    )
    parts = [_axis(), silence]
    for decision in decisions:
        parts += [
            line(
                place(ping), 30, place(ping), 70, f"ping {role}", f"ping, +{duration(ping - start)}"
            )
            for ping in decision.pings
        ]
    parts.append(dot(place(decided), 50, role, summary))
    return EpisodeLane(role, Chart(drawing(parts, summary), summary))


def _socket(episode: Episode, place: _Place) -> EpisodeLane | None:
    """From the monitor's closing to the end of the socket."""
    action, closing = episode.action, episode.closing
    if action is None and closing is None:
        return None
    times = [] if action is None else [action.acted_at]
    times += [] if closing is None else [closing.at]
    begin, end = times[0], times[-1]
    summary = (
        f"the socket took {duration(end - begin)} to end" if end > begin else "the socket ended"
    )
    width = max(place(end) - place(begin), 3)
    parts = [_axis(), rectangle(place(begin), 20, width, HEIGHT - 40, "socket", summary)]
    return EpisodeLane("socket", Chart(drawing(parts, summary), summary))


def _axis() -> Markup:
    return line(0, 50, WIDTH, 50, "lane")
