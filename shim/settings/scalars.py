"""Unquoted texts of YAML 1.1: what they are read as, and which of them are too odd to be meant.

`1:30` is the number 90 there, `010` is 8, `1_000` is 1000: a person who writes that should say what is
meant. Numbers with a point stay decimal, so that a width of 12.345 is exactly that.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Any

import yaml

_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*(e[-+][0-9]{1,3})?", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

KINDS = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge",
}


def kind_of(text: str) -> str:
    """What YAML 1.1 takes an unquoted text for."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    kind = tag.removeprefix(_TAG)
    return kind if kind in KINDS else "str"


def convert(text: str, kind: str) -> Any:
    """The value of an unquoted text; raises ValueError for spellings that few people can read."""
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int" if _INTEGER.fullmatch(text) and len(text) < 20:
            return int(text)
        case "float" if _DECIMAL.fullmatch(text) and len(text) < 40:
            return Decimal(text)
        case "int" | "float":
            raise ValueError(
                f"{text[:40]} is an unusual number: write plain digits, or quote a text"
            )
        case "timestamp" if _DAY.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                raise ValueError(f"{text} is no day of the calendar") from None
        case "timestamp":
            raise ValueError(f"{text} is more than a day: write it like 2027-01-31")
    return text
