"""The mutations that change nothing that anybody could notice, each with the reason."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """`before` is the text that is changed: if the code there is another one, the reason may be void."""

    mutation: str
    before: str
    because: str


def equivalents() -> dict[str, Equivalent]:
    """By address."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8")).get("equivalent", [])
    return {row["mutation"]: Equivalent(**row) for row in rows}
