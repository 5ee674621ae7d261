"""The flags file: read strictly, whole or not at all (R20).

Every mistake is found in one reading and told with its line. No truncated file is a valid one: every
top-level key is required, and the last line is `...`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from shim.flags import ALGORITHM, Percentages, Rollout, Rule, buckets_of
from shim.model import InputError, Stage
from shim.settings.suggest import suggestion
from shim.settings.yamlfile import Document, KeyPath, parse_yaml, read_text

_END = "..."
_VERSION = 1
_STAGES = {str(stage): stage for stage in Stage}
_PERCENT_KEYS = ("complete", "live", "shadow")
_TOP_KEYS = (
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

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LoadedRollout:
    """A rollout together with the file it was read from; `digest` is the SHA-256 of its text."""

    rollout: Rollout
    digest: str
    path: Path


def load_rollout(path: Path) -> LoadedRollout:
    """Read a flags file.

    Raises InputError with every problem of the file, and UnreadableFile, which is one, where there
    is nothing to read.
    """
    text = read_text(path)
    return LoadedRollout(parse_rollout(text, str(path)), sha256(text.encode()).hexdigest(), path)


def parse_rollout(text: str, file: str | None = None) -> Rollout:
    """The rollout that the text of a flags file describes; raises InputError like `load_rollout`."""
    document = parse_yaml(text, file)
    reader = _Reader(document)
    rollout = reader.rollout()
    # The parser tells the end of a document from text that looks like it, such as a comment.
    if not document.ended or text.rstrip().rpartition("\n")[2] != _END:
        reader.report((), f"the last line is not `{_END}`: the file may have been cut off")
    if document.problems or rollout is None:
        raise InputError(sorted(document.problems, key=lambda problem: problem.line or 0))
    return rollout


class _Reader:
    """Walks through a document and collects what is wrong.

    Each method answers with something usable also where it has reported a problem, so that the
    reading goes on; nothing of that is seen by anyone.
    """

    def __init__(self, document: Document) -> None:
        self._document = document

    def report(self, path: KeyPath, reason: str) -> None:
        self._document.problems.append(self._document.problem(path, reason))

    def rollout(self) -> Rollout | None:
        if self._document.value is None:
            self.report((), "is empty")
            return None
        top = self._mapping((), self._document.value, _TOP_KEYS, required=_TOP_KEYS)
        self._read(top, "version", self._version)
        return Rollout(
            flag=self._read(top, "flag", self._text) or "",
            salt=self._read(top, "hash", self._salt) or "",
            kill_switch=self._read(top, "kill_switch", self._boolean) or False,
            default=self._read(top, "default", self._stage) or Stage.OFF,
            holdback=self._read(top, "holdback", self._width) or 0,
            overrides=self._read(top, "overrides", self._overrides) or {},
            rules=self._read(top, "rules", self._rules) or (),
            percent=self._read(top, "percent", self._percentages) or Percentages(),
        )

    def _read(
        self,
        mapping: Mapping[str, Any],
        key: str,
        read: Callable[[KeyPath, Any], _T],
        path: KeyPath = (),
    ) -> _T | None:
        """The value of a key, if it is there."""
        return read((*path, key), mapping[key]) if key in mapping else None

    def _version(self, path: KeyPath, value: Any) -> None:
        if value != _VERSION or isinstance(value, bool):
            self.report(path, f"must be {_VERSION}, the only version of this format")

    def _salt(self, path: KeyPath, value: Any) -> str:
        keys = ("algorithm", "salt")
        mapping = self._mapping(path, value, keys, required=keys)
        if mapping.get("algorithm", ALGORITHM) != ALGORITHM:
            self.report((*path, "algorithm"), f"must be {ALGORITHM}, the only one there is")
        return self._read(mapping, "salt", self._text, path) or ""

    def _overrides(self, path: KeyPath, value: Any) -> dict[str, Stage]:
        mapping = self._mapping(path, value)
        if "" in mapping:
            self.report((*path, ""), "an empty text is nobody's user id")
        return {user: self._stage((*path, user), stage) for user, stage in mapping.items()}

    def _rules(self, path: KeyPath, value: Any) -> tuple[Rule, ...]:
        rules: dict[str, Rule] = {}
        for index, entry in enumerate(self._list(path, value)):
            rule = self._rule((*path, index), entry)
            if rule.name and rule.name in rules:
                self.report((*path, index, "name"), f"{rule.name!r} is the name of another rule")
            rules.setdefault(rule.name, rule)
        return tuple(rules.values())

    def _rule(self, path: KeyPath, value: Any) -> Rule:
        keys = ("name", "users", "stage", "percent")
        mapping = self._mapping(path, value, keys, required=("name", "users"))
        name = self._read(mapping, "name", self._text, path) or ""
        users = self._read(mapping, "users", self._users, path) or ()
        stage = self._read(mapping, "stage", self._stage, path)
        percent = self._read(mapping, "percent", self._percentages, path)
        if isinstance(value, dict) and ("stage" in mapping) == ("percent" in mapping):
            self.report(path, "needs one of stage and percent, and not both")
        if percent is None:
            return Rule(name, users, stage=stage or Stage.OFF)
        return Rule(name, users, percent=percent)

    def _users(self, path: KeyPath, value: Any) -> tuple[str, ...]:
        entries = self._list(path, value)
        if not entries and isinstance(value, list):
            self.report(path, "names nobody: a rule needs a user id or a glob")
        return tuple(self._text((*path, index), entry) for index, entry in enumerate(entries))

    def _percentages(self, path: KeyPath, value: Any) -> Percentages:
        mapping = self._mapping(path, value, _PERCENT_KEYS)
        widths = {
            key: self._read(mapping, key, self._width, path) or Decimal(0) for key in _PERCENT_KEYS
        }
        with self._reporting(path):
            return Percentages(**widths)
        return Percentages()

    def _width(self, path: KeyPath, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.report(path, f"must be a number of percent, not {_words(value)}")
            return Decimal(0)
        width = Decimal(repr(value))  # the shortest decimal: what the file says
        with self._reporting(path):
            buckets_of(width)
            return width
        return Decimal(0)

    def _stage(self, path: KeyPath, value: Any) -> Stage:
        if value is False:  # YAML 1.1 reads a bare `off` as this
            return Stage.OFF
        stage = _STAGES.get(value) if isinstance(value, str) else None
        if stage is None:
            hint = suggestion(value, _STAGES)
            known = ", ".join(_STAGES)
            self.report(path, f"{_words(value)} is no stage{hint}; stages are {known}")
        return stage or Stage.OFF

    def _boolean(self, path: KeyPath, value: Any) -> bool:
        if not isinstance(value, bool):
            self.report(path, f"must be true or false, not {_words(value)}")
        return value is True

    def _text(self, path: KeyPath, value: Any) -> str:
        if not isinstance(value, str):
            self.report(path, f"must be a text, not {_words(value)}; if it is one, quote it")
            return ""
        if not value:
            self.report(path, "must not be empty")
        return value

    def _list(self, path: KeyPath, value: Any) -> list[Any]:
        if isinstance(value, list):
            return value
        self.report(path, f"must be a list, not {_words(value)}; write [] for none")
        return []

    def _mapping(
        self,
        path: KeyPath,
        value: Any,
        known: tuple[str, ...] | None = None,
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The mapping, without the keys that are not `known` (None: all are)."""
        if not isinstance(value, dict):
            self.report(path, f"must be a mapping, not {_words(value)}; write {{}} for an empty one")
            return {}
        for key in required:
            if key not in value:
                self.report((*path, key), "is missing")
        if known is None:
            return value
        for key in value:
            if key not in known:
                hint = suggestion(key, known)
                self.report((*path, key), f"unknown key{hint}; known are {', '.join(known)}")
        return {key: value[key] for key in known if key in value}

    @contextmanager
    def _reporting(self, path: KeyPath) -> Iterator[None]:
        """Turns a ValueError of the model into a problem at that path."""
        try:
            yield
        except ValueError as error:
            self.report(path, str(error))


def _words(value: Any) -> str:
    """A value as a reader of the file would name it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return repr(value if len(value) <= 40 else f"{value[:39]}…")
    return str(value)
