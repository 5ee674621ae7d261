"""The picture of `shim tune` as SVG: what each timeout costs, and what it brings."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from shim.model import SECOND
from shim.replay.tuning import TimeoutTrial
from shim.settings.durations import format_duration

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 64, 48, 64
_LIVING, _DELAY, _SPREAD, _INK = "#c0392b", "#1f6f8b", "#9fc5d1", "#333333"


def draw_trials(trials: Sequence[TimeoutTrial], best: TimeoutTrial | None) -> str:
    """A whole SVG document: bars for living connections closed, a line for the delay of dead ones.

    The bars belong to the left axis, the line (median, with a tick at 95 %) to the right one.
    """
    most = max([trial.alive_alone for trial in trials] + [1])
    delays = [d for trial in trials if (d := trial.candidate.delay(0.95)) is not None]
    longest = max([*delays, SECOND])
    step = (_WIDTH - _LEFT - _RIGHT) / len(trials)
    parts = [_title(), *_axes(most, longest)]
    points = []
    for number, trial in enumerate(trials):
        middle = _LEFT + step * (number + 0.5)
        parts += _bar(trial, middle, step * 0.5, most, chosen=trial is best)
        median, late = trial.candidate.delay(0.5), trial.candidate.delay(0.95)
        if median is not None and late is not None:
            points.append((middle, _height(median, longest)))
            parts.append(_line(middle, points[-1][1], middle, _height(late, longest), _SPREAD))
    parts += [_line(*before, *after, _DELAY) for before, after in pairwise(points)]
    parts += [
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}"/>').format(x, y, _DELAY)
        for x, y in points
    ]
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" '
            'font-size="12"><rect width="100%" height="100%" fill="white"/>{}</svg>\n'
        ).format(_WIDTH, _HEIGHT, Markup("").join(parts))
    )


def _title() -> Markup:
    return Markup("").join(
        (
            _text(_LEFT, 20, "living connections closed that the control keeps", "start", _LIVING),
            _text(_WIDTH - _RIGHT, 20, "delay of dead ones: median, 95 %", "end", _DELAY),
            _text(_WIDTH / 2, _HEIGHT - 16, "timeout of the candidate", "middle", _INK),
        )
    )


def _axes(most: int, longest: int) -> list[Markup]:
    bottom = _HEIGHT - _BOTTOM
    return [
        _line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, _INK),
        _text(_LEFT - 8, bottom + 4, "0", "end", _LIVING),
        _text(_LEFT - 8, _TOP + 4, str(most), "end", _LIVING),
        _text(_WIDTH - _RIGHT + 8, bottom + 4, "0 s", "start", _DELAY),
        _text(_WIDTH - _RIGHT + 8, _TOP + 4, f"{longest / SECOND:.0f} s", "start", _DELAY),
    ]


def _bar(
    trial: TimeoutTrial, middle: float, width: float, most: int, *, chosen: bool
) -> list[Markup]:
    top, bottom = _height(trial.alive_alone, most), _HEIGHT - _BOTTOM
    name = format_duration(trial.timeout)
    label = Markup(
        '<text x="{:.1f}" y="{:.1f}" text-anchor="middle" fill="{}" font-weight="{}">{}</text>'
    ).format(
        middle, bottom + 20, "#1e8449" if chosen else _INK, "bold" if chosen else "normal", name
    )
    rectangle = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" fill-opacity="0.75">'
        "<title>{}: {}</title></rect>"
    ).format(middle - width / 2, top, width, bottom - top, _LIVING, name, trial.alive_alone)
    return [rectangle, label]


def _height(value: float, most: float) -> float:
    """Where a value stands between the bottom (0) and the top (`most`)."""
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / most


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> Markup:
    return Markup(
        '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="2"/>'
    ).format(x1, y1, x2, y2, colour)


def _text(x: float, y: float, words: str, anchor: str, colour: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, colour, words
    )
