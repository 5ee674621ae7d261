"""Charts as inline SVG, without text: labels stand beside them in HTML, so that they stay readable.

A drawing is stretched to the room there is; its own coordinates are 0 to 1000 and 0 to 100. Colours
come from the classes in `console.css`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 1000
HEIGHT = 100


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its labels: `y` from the top down, `x` from left to right."""

    drawing: Markup
    y: Sequence[str] = ()
    x: Sequence[str] = ()
    notes: Sequence[str] = ()


def rectangle(x: float, y: float, width: float, height: float, look: str, title: str) -> Markup:
    """`look` has the classes; `title` is shown under the mouse."""
    return Markup(
        '<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" class="{}">'
        "<title>{}</title></rect>"
    ).format(x, y, max(width, 0), max(height, 0), look, title)


def line(x1: float, y1: float, x2: float, y2: float, look: str, title: str = "") -> Markup:
    """`look` and `title` as for a rectangle."""
    return Markup(
        '<line x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}" class="{}"><title>{}</title></line>'
    ).format(x1, y1, x2, y2, look, title)


def dot(x: float, y: float, look: str, title: str) -> Markup:
    """A line without length and with round ends: stretching does not make it an ellipse."""
    return line(x, y, x + 0.01, y, f"dot {look}", title)


def path(points: Iterable[tuple[float, float]], look: str, *, closed: bool = False) -> Markup:
    """A line through the points; closed, it is an area."""
    steps = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return Markup('<path d="M{}{}" class="{}"/>').format(steps, " Z" if closed else "", look)


def drawing(parts: Iterable[Markup], summary: str) -> Markup:
    """The parts together; `summary` describes them as text."""
    return Markup(
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, escape(summary), Markup("").join(parts))
