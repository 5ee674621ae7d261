"""The flags file: strictly read, whole or not at all (R20).

Every top-level key is required, and the last line is `...`, YAML's end of document: whatever is cut
off a good file, the rest is not taken for another good file.
"""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from shim.flags import ALGORITHM, Percentages, Rule, Targeting
from shim.flags.buckets import buckets_of
from shim.model import Stage
from shim.settings.document import Cursor, Document
from shim.settings.shapes import (
    BOOLEAN,
    TEXT,
    Key,
    Shape,
    constant,
    list_of,
    mapping_of,
    record,
    seen,
)
from shim.settings.yamlfile import decode, parse, read_bytes

END = "..."

_STAGES = {str(stage): stage for stage in Stage}


@dataclass(frozen=True)
class LoadedRollout:
    """A rollout and the file it came from; `digest` is the SHA-256 of the file, in hex."""

    rollout: Targeting
    path: Path
    digest: str


def load_rollout(path: Path) -> LoadedRollout:
    """Read a flags file. Raises InputError with every problem in it."""
    data = read_bytes(path)
    return LoadedRollout(parse_rollout(data, str(path)), path, sha256(data).hexdigest())


def parse_rollout(data: bytes, file: str) -> Targeting:
    """The rollout that a file's content means; `file` is its name in problems.

    Raises InputError with every problem in it.
    """
    document = Document(file)
    if (text := decode(data, document)) is not None:
        _check_end(text, document)
        parse(text, document)
    rollout = _FILE.read(Cursor(document, document.root)) if document.root else None
    document.raise_problems()
    assert rollout is not None, "a file without root has a problem"
    return rollout


def rollout_schema() -> dict[str, Any]:
    """The JSON Schema of the flags file, for editors.

    It is laxer than the reader: it cannot say that widths add to 100 at most, that names are unique
    and what the last line is.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Flags of the monitor migration",
        **_FILE.schema,
    }


def _check_end(text: str, document: Document) -> None:
    lines = text.rstrip(" \t\r\n").split("\n")
    if lines[-1] != END:
        reason = f"the last line must be {END}; without it the file may have been cut off"
        document.report(len(lines), 1, reason)


# -- Values ----------------------------------------------------------------------------------------


def _read_stage(at: Cursor) -> Stage:
    # YAML 1.1 reads a bare `off` as false.
    name = "off" if at.value is False else at.value
    if isinstance(name, str) and name in _STAGES:
        return _STAGES[name]
    at.report(f"should be one of the stages {', '.join(_STAGES)}, not {seen(at)}")
    return Stage.OFF


def _read_width(at: Cursor) -> Decimal:
    if isinstance(at.value, bool) or not isinstance(at.value, int | Decimal):
        at.report(f"should be a percentage such as 12.5, not {seen(at)}")
        return Decimal(0)
    try:
        buckets_of(at.value)
    except ValueError as error:
        at.report(str(error))
        return Decimal(0)
    return Decimal(at.value)


def _make_percentages(at: Cursor, **widths: Decimal) -> Percentages:
    try:
        return Percentages(**widths)
    except ValueError as error:
        at.report(str(error))
        return Percentages()


def _make_rule(
    at: Cursor,
    name: str,
    users: tuple[str, ...],
    stage: Stage | None = None,
    percent: Percentages | None = None,
) -> Rule:
    if (stage is None) == (percent is None):
        if isinstance(at.value, dict):
            at.report("a rule has either stage or percent")
        stage, percent = Stage.OFF, None
    return Rule(name, users, stage, percent)


def _read_rules(at: Cursor) -> tuple[Rule, ...]:
    rules = _RULES.read(at)
    seen_names: dict[str, int] = {}
    for index, (rule, element) in enumerate(zip(rules, at.elements(), strict=True)):
        first = seen_names.setdefault(rule.name, index)
        if rule.name and first != index:
            element["name"].report(f"duplicate name; the first is that of rules[{first}]")
    return rules


def _make_rollout(at: Cursor, version: None, hash: str, **values: Any) -> Targeting:
    return Targeting(salt=hash, **values)


# -- The file --------------------------------------------------------------------------------------

_STAGE = Shape(_read_stage, {"enum": [*_STAGES, False]})
_WIDTH = Shape(_read_width, {"type": "number", "minimum": 0, "maximum": 100})
_PERCENT = record(
    {
        "complete": Key(_WIDTH, "Percent of all users at `complete`.", required=False),
        "live": Key(_WIDTH, "Percent of all users at `live`.", required=False),
        "shadow": Key(_WIDTH, "Percent of all users at `shadow`.", required=False),
    },
    _make_percentages,
)
_RULE = record(
    {
        "name": Key(TEXT, "The rule's own name; every evaluation that it decides says it."),
        "users": Key(list_of(TEXT, empty=False), "Exact user ids and globs: `*`, `?` and `[abc]`."),
        "stage": Key(_STAGE, "The stage of all these users.", required=False),
        "percent": Key(
            _PERCENT, "Widths; whom they miss goes on to the next rule.", required=False
        ),
    },
    _make_rule,
    {"oneOf": [{"required": ["stage"]}, {"required": ["percent"]}]},
)
_RULES = list_of(_RULE)
_HASH = record(
    {
        "algorithm": Key(constant(ALGORITHM, "the only one there is"), "The hash of the buckets."),
        "salt": Key(TEXT, "Another salt gives every user another bucket: leave it."),
    },
    lambda at, algorithm, salt: str(salt),
)
_FILE = record(
    {
        "version": Key(constant(1, "the only version there is"), "The version of this format."),
        "flag": Key(TEXT, "The flag's name in traces and for OpenFeature."),
        "hash": Key(_HASH, "What gives each user a fixed bucket."),
        "kill_switch": Key(BOOLEAN, "true: everyone is at `off`, overrides included."),
        "default": Key(_STAGE, "The stage of whoever nothing else is about."),
        "holdback": Key(_WIDTH, "Percent of all users who stay at `shadow` at most."),
        "overrides": Key(mapping_of(_STAGE), "Single users by their exact id; asked first."),
        "rules": Key(
            Shape(_read_rules, _RULES.schema), "Asked next, from first to last, unless overridden."
        ),
        "percent": Key(_PERCENT, "Widths for everybody; asked after the rules."),
    },
    _make_rollout,
)
