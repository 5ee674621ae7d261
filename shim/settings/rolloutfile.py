"""The flags file: strictly read, whole or not at all (R20).

Every top-level key is required, and the last line is `...`, YAML's end of document: whatever is cut
off a good file, the rest is not taken for another good file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from shim.flags import ALGORITHM, Percentages, Rollout, Rule
from shim.flags.buckets import buckets_of
from shim.model import Stage
from shim.settings.document import UNUSABLE, Document, KeyPath, Node, unknown_key
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

T = TypeVar("T")


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
    rollout = None if document.root is None else _Reader(document).rollout(document.root)
    document.raise_problems()
    assert rollout is not None
    return rollout


def _check_end(text: str, document: Document) -> None:
    lines = text.rstrip().splitlines()
    if lines[-1] != END:
        reason = f"the last line must be {END}; without it the file may have been cut off"
        document.report_at(len(lines), 1, reason)


class _Reader:
    """Makes a rollout of nodes. What is wrong is reported and replaced by something harmless."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._report = document.report

    def rollout(self, root: Node) -> Rollout | None:
        keys = self._mapping(root, (), required=KEYS)
        if keys is None:
            return None
        nodes = dict.fromkeys(KEYS, Node(UNUSABLE, root.line, root.column)) | keys
        self._version(nodes["version"], ("version",))
        return Rollout(
            flag=self._text(nodes["flag"], ("flag",)),
            salt=self._salt(nodes["hash"], ("hash",)),
            kill_switch=self._bool(nodes["kill_switch"], ("kill_switch",)),
            default=self._stage(nodes["default"], ("default",)),
            holdback=self._width(nodes["holdback"], ("holdback",)),
            overrides=self._overrides(nodes["overrides"], ("overrides",)),
            rules=tuple(self._rules(nodes["rules"], ("rules",))),
            percent=self._percent(nodes["percent"], ("percent",)),
        )

    def _version(self, node: Node, path: KeyPath) -> None:
        if type(node.value) is not int or node.value != VERSION:
            self._report(path, f"should be {VERSION}, the only version there is")

    def _salt(self, node: Node, path: KeyPath) -> str:
        keys = self._mapping(node, path, required=("algorithm", "salt")) or {}
        if (algorithm := keys.get("algorithm")) and algorithm.value != ALGORITHM:
            self._report((*path, "algorithm"), f"should be {ALGORITHM}, the only one there is")
        return self._text(keys["salt"], (*path, "salt")) if "salt" in keys else ""

    def _overrides(self, node: Node, path: KeyPath) -> dict[str, Stage]:
        users = self._mapping(node, path) or {}
        if "" in users:
            self._report((*path, ""), "a user id must not be empty")
        return {user: self._stage(stage, (*path, user)) for user, stage in users.items()}

    def _rules(self, node: Node, path: KeyPath) -> Iterable[Rule]:
        first_of: dict[str, int] = {}
        for index, item in enumerate(self._list(node, path)):
            rule = self._rule(item, (*path, index))
            if rule is None:
                continue
            if rule.name in first_of:
                reason = f"duplicate name; the first is rules[{first_of[rule.name]}]"
                self._report((*path, index, "name"), reason)
            elif rule.name:
                first_of[rule.name] = index
            yield rule

    def _rule(self, node: Node, path: KeyPath) -> Rule | None:
        keys = self._mapping(
            node, path, required=("name", "users"), optional=("stage", "percent")
        )
        if keys is None:
            return None
        if ("stage" in keys) == ("percent" in keys):
            self._report(path, "a rule has either stage or percent")
        name = self._text(keys["name"], (*path, "name")) if "name" in keys else ""
        users = self._users(keys["users"], (*path, "users")) if "users" in keys else ()
        percent = self._percent(keys["percent"], (*path, "percent")) if "percent" in keys else None
        stage = self._stage(keys["stage"], (*path, "stage")) if "stage" in keys else None
        if percent is None and stage is None:
            stage = Stage.OFF
        return Rule(name, users, None if percent else stage, percent)

    def _users(self, node: Node, path: KeyPath) -> tuple[str, ...]:
        users = self._list(node, path)
        if isinstance(node.value, list) and not users:
            self._report(path, "a rule names at least one user or pattern")
        return tuple(self._text(user, (*path, index)) for index, user in enumerate(users))

    def _percent(self, node: Node, path: KeyPath) -> Percentages:
        keys = self._mapping(node, path, optional=_WIDTHS, hint="what is left over needs no width")
        widths = {
            stage: self._width(keys[stage], (*path, stage))
            for stage in _WIDTHS
            if keys and stage in keys
        }
        try:
            return Percentages(**widths)
        except ValueError as error:
            self._report(path, str(error))
            return Percentages()

    def _width(self, node: Node, path: KeyPath) -> Decimal:
        if isinstance(node.value, bool) or not isinstance(node.value, int | Decimal):
            self._report(path, f"should be a percentage such as 12.5{_seen(node)}")
            return _NO_WIDTH
        try:
            buckets_of(node.value)
        except ValueError as error:
            self._report(path, str(error))
            return _NO_WIDTH
        return Decimal(node.value)

    def _stage(self, node: Node, path: KeyPath) -> Stage:
        # YAML 1.1 reads a bare `off` as false.
        name = "off" if node.value is False else node.value
        if isinstance(name, str) and name in _STAGES:
            return _STAGES[name]
        self._report(path, f"should be one of the stages {', '.join(_STAGES)}{_seen(node)}")
        return Stage.OFF

    def _text(self, node: Node, path: KeyPath) -> str:
        if isinstance(node.value, str) and node.value:
            return node.value
        if isinstance(node.value, dict | list) or not node.text:
            self._report(path, f"should be a string, and not empty{_seen(node)}")
        else:
            self._report(path, f"should be a string; put {node.text} in quotes")
        return ""

    def _bool(self, node: Node, path: KeyPath) -> bool:
        if isinstance(node.value, bool):
            return node.value
        self._report(path, f"should be true or false{_seen(node)}")
        return False

    def _list(self, node: Node, path: KeyPath) -> list[Node]:
        if isinstance(node.value, list):
            return node.value
        self._report(path, f"should be a list; [] if there is nothing{_seen(node)}")
        return []

    def _mapping(
        self,
        node: Node,
        path: KeyPath,
        *,
        required: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
        hint: str = "",
    ) -> dict[str, Node] | None:
        """The mapping's known keys; without `required` and `optional` any key is known."""
        if not isinstance(node.value, dict):
            self._report(path, f"should be a mapping; {{}} if there is nothing{_seen(node)}")
            return None
        for key in required:
            if key not in node.value:
                self._report((*path, key), "missing")
        known = required + optional
        if not known:
            return node.value
        for key in node.value:
            if key not in known:
                self._report((*path, key), unknown_key(key, known))
        return {key: child for key, child in node.value.items() if key in known}


def _seen(node: Node) -> str:
    """What is there instead, if a few words can say it."""
    match node.value:
        case dict():
            return ", not a mapping"
        case list():
            return ", not a list"
        case None:
            return ", not nothing"
    return f", not {node.text if len(node.text) <= 40 else node.text[:40] + '…'}"
