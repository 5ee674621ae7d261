"""The flags file: strictly read, whole or not at all (R20).

Every top-level key is required, and the last line is `...`, YAML's end of document: whatever is cut
off a good file, the rest is not taken for another good file.

The readers below answer with something harmless for what they report: whoever reports anything
gets no rollout.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from shim.flags import ALGORITHM, Percentages, Rollout, Rule
from shim.flags.buckets import buckets_of
from shim.model import Stage
from shim.settings.document import Cursor, Document
from shim.settings.suggest import unknown_key
from shim.settings.yamlfile import decode, parse, read_bytes

VERSION = 1
END = "..."
KEYS = (
    "version",
    "flag",
    "hash",
    "kill_switch",
    "default",
    "holdback",
    "overrides",
    "rules",
    "percent",
)

_STAGES = {str(stage): stage for stage in Stage}
_WIDTHS = tuple(str(stage) for stage in sorted(Stage, reverse=True) if stage is not Stage.OFF)
_NO_WIDTH = Decimal(0)
_LONGEST_QUOTE = 40


@dataclass(frozen=True)
class LoadedRollout:
    """A rollout and the file it came from; `digest` is the SHA-256 of the file, in hex."""

    rollout: Rollout
    path: Path
    digest: str


def load_rollout(path: Path) -> LoadedRollout:
    """Read a flags file. Raises InputError with every problem in it."""
    data = read_bytes(path)
    return LoadedRollout(parse_rollout(data, str(path)), path, sha256(data).hexdigest())


def parse_rollout(data: bytes, file: str) -> Rollout:
    """The rollout that a file's content means; `file` is its name in problems.

    Raises InputError with every problem in it.
    """
    document = Document(file)
    if (text := decode(data, document)) is not None:
        _check_end(text, document)
        parse(text, document)
    rollout = _rollout(Cursor(document, document.root)) if document.root else None
    document.raise_problems()
    assert rollout is not None, "a file without root has a problem"
    return rollout


def _check_end(text: str, document: Document) -> None:
    lines = text.rstrip(" \t\r\n").split("\n")
    if lines[-1] != END:
        reason = f"the last line must be {END}; without it the file may have been cut off"
        document.report(len(lines), 1, reason)


def _rollout(at: Cursor) -> Rollout:
    _check_keys(at, required=KEYS)
    _version(at["version"])
    return Rollout(
        flag=_text(at["flag"]),
        salt=_salt(at["hash"]),
        kill_switch=_bool(at["kill_switch"]),
        default=_stage(at["default"]),
        holdback=_width(at["holdback"]),
        overrides=_overrides(at["overrides"]),
        rules=tuple(_rules(at["rules"])),
        percent=_percentages(at["percent"]),
    )


def _version(at: Cursor) -> None:
    if at.value is True or at.value != VERSION:
        at.report(f"should be {VERSION}, the only version there is")


def _salt(at: Cursor) -> str:
    _check_keys(at, required=("algorithm", "salt"))
    if at["algorithm"].value != ALGORITHM:
        at["algorithm"].report(f"should be {ALGORITHM}, the only one there is")
    return _text(at["salt"])


def _overrides(at: Cursor) -> dict[str, Stage]:
    _check_mapping(at)
    if "" in at:
        at[""].report("a user id must not be empty")
    return {user: _stage(stage) for user, stage in at.items()}


def _rules(at: Cursor) -> Iterator[Rule]:
    _check_list(at)
    seen: dict[str, int] = {}
    for index, element in enumerate(at.elements()):
        rule = _rule(element)
        first = seen.setdefault(rule.name, index)
        if rule.name and first != index:
            element["name"].report(f"duplicate name; the first is that of rules[{first}]")
        yield rule


def _rule(at: Cursor) -> Rule:
    _check_keys(at, required=("name", "users"), optional=("stage", "percent"))
    has_percent = "percent" in at
    if has_percent == ("stage" in at) and isinstance(at.value, dict):
        at.report("a rule has either stage or percent")
    return Rule(
        name=_text(at["name"]),
        users=_users(at["users"]),
        stage=None if has_percent else _stage(at["stage"]),
        percent=_percentages(at["percent"]) if has_percent else None,
    )


def _users(at: Cursor) -> tuple[str, ...]:
    _check_list(at)
    if at.value == []:
        at.report("a rule names at least one user or pattern")
    return tuple(_text(user) for user in at.elements())


def _percentages(at: Cursor) -> Percentages:
    _check_keys(at, optional=_WIDTHS)
    widths = {stage: _width(at[stage]) for stage in _WIDTHS if stage in at}
    try:
        return Percentages(**widths)
    except ValueError as error:
        at.report(str(error))
        return Percentages()


def _width(at: Cursor) -> Decimal:
    if isinstance(at.value, bool) or not isinstance(at.value, int | Decimal):
        at.report(f"should be a percentage such as 12.5, not {_seen(at)}")
        return _NO_WIDTH
    try:
        buckets_of(at.value)
    except ValueError as error:
        at.report(str(error))
        return _NO_WIDTH
    return Decimal(at.value)


def _stage(at: Cursor) -> Stage:
    # YAML 1.1 reads a bare `off` as false.
    name = "off" if at.value is False else at.value
    if isinstance(name, str) and name in _STAGES:
        return _STAGES[name]
    at.report(f"should be one of the stages {', '.join(_STAGES)}, not {_seen(at)}")
    return Stage.OFF


def _text(at: Cursor) -> str:
    match at.value:
        case "":
            at.report("must not be empty")
        case str():
            return at.value
        case None | dict() | list():
            at.report(f"should be a string, not {_seen(at)}")
        case _:
            at.report(f"should be a string; put {_seen(at)} in quotes")
    return ""


def _bool(at: Cursor) -> bool:
    if isinstance(at.value, bool):
        return at.value
    at.report(f"should be true or false, not {_seen(at)}")
    return False


def _check_keys(
    at: Cursor, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> None:
    if not _check_mapping(at):
        return
    for key in required:
        if key not in at:
            at.report_missing(key)
    known = required + optional
    for key, child in at.items():
        if key not in known:
            child.report(unknown_key(key, known))


def _check_mapping(at: Cursor) -> bool:
    if isinstance(at.value, dict):
        return True
    at.report(f"should be a mapping ({{}} for nothing), not {_seen(at)}")
    return False


def _check_list(at: Cursor) -> None:
    if not isinstance(at.value, list):
        at.report(f"should be a list ([] for nothing), not {_seen(at)}")


def _seen(at: Cursor) -> str:
    """What is there instead, in a few words."""
    match at.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case "":
            return "an empty string"
    text = at.node.text
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"
