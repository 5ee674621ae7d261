"""Draws what `benchmarks.limit` has measured: curves over the number of connections, as SVG."""

from collections.abc import Iterable, Mapping
from math import log10
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "limit.svg"

_CURVES = (
    (
        "CPU of a connection, µs",
        ("shadow: CPU, µs", "complete: CPU, µs", "open: CPU, µs", "move to complete: CPU, µs"),
    ),
    (
        "longest stall of the loop, ms of CPU",
        (
            "shadow: CPU max, ms",
            "complete: CPU max, ms",
            "move to complete: CPU max, ms",
            "capture rotation: CPU max, ms",
            "drain: CPU max, ms",
            "full collection: CPU, ms",
        ),
    ),
)
_COLOURS = ("#1f6feb", "#1a7f4b", "#c0392b", "#8e44ad", "#d68910", "#57606a")
_WIDTH, _HEIGHT, _GAP = 300, 220, 80
_LEFT, _TOP, _LEGEND = 60, 40, 18

Results = Mapping[str, Mapping[int, float]]


def draw_limit(results: Results) -> str:
    """One chart beside the other, with logarithmic axes; a legend under each says the slopes."""
    width = _LEFT + len(_CURVES) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + 50 + _LEGEND * max(len(names) for _, names in _CURVES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" role="img">',
        "<title>The cost of a connection, and the longest stalls, by the number of connections</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for column, (title, names) in enumerate(_CURVES):
        curves = {name: results[name] for name in names if name in results}
        parts += _chart(_LEFT + column * (_WIDTH + _GAP), title, curves)
    return "\n".join((*parts, "</svg>", ""))


def _chart(left: int, title: str, curves: Results) -> Iterable[str]:
    counts = sorted({count for curve in curves.values() for count in curve})
    values = [value for curve in curves.values() for value in curve.values() if value > 0]
    first, last = log10(counts[0]), log10(counts[-1])
    low, high = int(log10(min(values)) // 1), -int(-log10(max(values)) // 1)

    def x(count: float) -> float:
        return left + _WIDTH * (log10(count) - first) / (last - first)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (high - log10(max(value, 10.0**low))) / max(1, high - low)

    yield f'<text x="{left}" y="20" font-size="13" font-weight="bold">{title}</text>'
    for power in range(low, high + 1):
        at = y(10.0**power)
        yield f'<path d="M{left} {at:.1f}h{_WIDTH}" stroke="#d0d7de"/>'
        yield f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
    for count in counts:
        yield (
            f'<text x="{x(count):.1f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">'
            f"{count:,}</text>".replace(",", " ")
        )
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number]
        points = " ".join(f"{x(count):.1f},{y(curve[count]):.1f}" for count in sorted(curve))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        at = _TOP + _HEIGHT + 40 + number * _LEGEND
        yield f'<path d="M{left} {at - 4}h18" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{left + 24}" y="{at}">{name.split(":")[0]}: slope {_slope(curve):.2f}</text>'


def _slope(curve: Mapping[int, float]) -> float:
    first, last = min(curve), max(curve)
    return log10(max(curve[last], 1e-3) / max(curve[first], 1e-3)) / log10(last / first)
