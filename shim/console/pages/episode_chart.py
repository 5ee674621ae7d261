"""One episode drawn: a lane for the client, for each monitor, and for the end of the socket."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from markupsafe import Markup

from shim.console.pages.formatting import duration
from shim.console.pages.svg import HEIGHT, WIDTH, dot, drawing, line, rectangle
from shim.ledger.protocols import Episode
from shim.ledger.rows import Wall
from shim.model import Return, Role

_MARGIN = 12
_Place: TypeAlias = Callable[[Wall], float]


def draw_lanes(episode: Episode) -> tuple[dict[str, Markup], tuple[str, str, str]]:
    """The lanes of the `client`, of each role and of the `socket`, and the labels of their axis of time."""
    verdict, action, closing = episode.verdict, episode.action, episode.closing
    start = verdict.last_activity
    signs = [(start, "last sign of life")]
    if verdict.recovered:
        signs.append((verdict.at, "sign of life: it had been alive"))
    signs += [(proof.at, "spoke after it had been closed") for proof in episode.proofs]
    if action is not None and action.result is Return.RETURNED and action.at is not None:
        signs.append((action.at, "came back"))
    times = [verdict.at, *(at for at, _ in signs)]
    times += [decision.at for decision in episode.decisions]
    times += [] if closing is None else [closing.at]
    span = max(max(times) - start, 1)

    def place(at: Wall) -> float:
        return _MARGIN + (WIDTH - 2 * _MARGIN) * (at - start) / span

    dots = [dot(place(at), 50, "client", what) for at, what in signs]
    summary = ", ".join(f"+{duration(at - start)} {what}" for at, what in signs)
    lanes = {"client": _lane(dots, summary)}
    lanes |= {str(role): _monitor(episode, role, place) for role in Role}
    if action is not None or closing is not None:
        lanes["socket"] = _socket(episode, place)
    labels = ("last sign of life", f"+{duration(span // 2)}", f"+{duration(span)}")
    return lanes, labels


def _monitor(episode: Episode, role: Role, place: _Place) -> Markup:
    """The silence until the monitor decided; its pings are ticks in it."""
    verdict = episode.verdict
    start = verdict.last_activity
    decided = verdict.control_at if role is Role.CONTROL else verdict.candidate_at
    decisions = [decision for decision in episode.decisions if decision.role is role]
    if decided is None and decisions:
        decided = decisions[0].at
    if decided is None:
        return _lane([], f"the {role} did not decide")
    summary = f"the {role} decided after {duration(decided - start)}"
    begin, end = place(start), place(decided)
    parts = [rectangle(begin, 30, end - begin, 40, f"silence {role}", summary)]
    for ping in (ping for decision in decisions for ping in decision.pings):
        x, title = place(ping), f"ping, +{duration(ping - start)}"
        parts.append(line(x, 30, x, 70, f"ping {role}", title))
    return _lane([*parts, dot(end, 50, role, summary)], summary)


def _socket(episode: Episode, place: _Place) -> Markup:
    """From the monitor's closing to the end of the socket."""
    action, closing = episode.action, episode.closing
    times = [] if action is None else [action.acted_at]
    times += [] if closing is None else [closing.at]
    begin, end = times[0], times[-1]
    summary = (
        f"the socket took {duration(end - begin)} to end" if end > begin else "the socket ended"
    )
    width = max(place(end) - place(begin), 3)
    bar = rectangle(place(begin), 20, width, HEIGHT - 40, "socket", summary)
    return _lane([bar], summary)


def _lane(parts: Iterable[Markup], summary: str) -> Markup:
    axis = line(0, 50, WIDTH, 50, "lane")
    return drawing([axis, *parts], summary)
