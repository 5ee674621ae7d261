"""`python -m benchmarks.clients.picture`: draws the table of clients into docs/images/clients.svg."""

from pathlib import Path
from xml.sax.saxutils import escape

from shim.clients.client_returns import ENDINGS, Delay, known_clients

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "clients.svg"
_TITLES = {"none": "no code", "1006": "abort"}
_NAMES, _CELL, _ROW, _HEAD = 190, 66, 24, 34
_AWAY = "#c0392b"
_COLOURS = ((0.5, "#1a7f4b"), (2.0, "#3f9d6c"), (10.0, "#7fbf9b"))
"""The darker the green, the sooner the latest client is back (seconds)."""

_LATEST = "#b5dcc6"
_DARK_TEXT = {"#7fbf9b", _LATEST}


def draw_clients() -> str:
    """The table as SVG: a row for each client, a column for each ending."""
    clients = known_clients().values()
    width = _NAMES + _CELL * len(ENDINGS) + 10
    height = _HEAD + _ROW * len(clients) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Seconds until each client is back, by close code</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for column, ending in enumerate(ENDINGS):
        x = _NAMES + _CELL * column + _CELL // 2
        title = _TITLES.get(ending, ending)
        parts.append(f'<text x="{x}" y="22" text-anchor="middle" font-weight="bold">{title}</text>')
    for row, client in enumerate(clients):
        y = _HEAD + _ROW * row
        parts.append(
            f'<text x="{_NAMES - 10}" y="{y + 16}" text-anchor="end">{escape(client.name)}</text>'
        )
        for column, ending in enumerate(ENDINGS):
            parts.extend(_cell(_NAMES + _CELL * column, y, client.delay(ending)))
    return "\n".join((*parts, "</svg>", ""))


def _cell(x: int, y: int, delay: Delay | None) -> list[str]:
    colour = _colour(delay)
    text = "away" if delay is None else delay.format_delay()
    ink = "#12352a" if colour in _DARK_TEXT else "#ffffff"
    return [
        f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_ROW - 2}" rx="3" fill="{colour}"/>',
        f'<text x="{x + _CELL // 2}" y="{y + 16}" text-anchor="middle" font-size="11" '
        f'fill="{ink}">{text}</text>',
    ]


def _colour(delay: Delay | None) -> str:
    if delay is None:
        return _AWAY
    return next((colour for limit, colour in _COLOURS if delay.latest <= limit), _LATEST)


if __name__ == "__main__":
    PICTURE.write_text(draw_clients(), encoding="utf-8")
