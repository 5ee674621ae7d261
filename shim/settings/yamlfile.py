"""Strict YAML: a file means one thing only, or is refused with line, column and reason.

Of YAML there remain mappings with string keys, lists and scalars. Refused are duplicate keys (YAML
takes the last one silently), keys and numbers that YAML 1.1 reads as something else than they look
(`1:30` is 90, `010` is 8), anchors and aliases (a small file could grow without bound), tags, and
more than one document. Problems of this kind are gathered and the reading goes on; after a syntax
error it cannot.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from shim.model import InputError, Problem
from shim.settings.document import UNUSABLE, Document, KeyPath, Node, Value

MAX_BYTES = 5_000_000
MAX_DEPTH = 20

_MAX_NUMBER = 18
"""Characters; a longer number is a mistake, and converting it could take long."""

# libyaml's parser is 20 times as fast. Reading event by event lets other threads run in between.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver = yaml.resolver.Resolver()

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.[0-9]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUE = frozenset({"yes", "true", "on"})
_KINDS = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
}


class UnreadableError(InputError):
    """The file could not be read at all, so nothing is known about what is in it."""


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises UnreadableError if there is none or it is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError(Problem("no such file", str(path))) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(Problem(f"cannot be read: {reason}", str(path))) from None
    if len(data) > MAX_BYTES:
        raise UnreadableError(Problem(f"larger than {MAX_BYTES} bytes", str(path)))
    return data


def decode(data: bytes, document: Document) -> str | None:
    """The text of a file; None, and a problem, if it has none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        document.report(line, None, f"not UTF-8: byte 0x{data[error.start]:02x}")
        return None
    if not text.strip():
        document.report(None, None, "the file is empty")
        return None
    return text


def parse(text: str, document: Document) -> None:
    """Read the text into the document: its root, if it has one, and its problems."""
    try:
        _Composer(text, document).compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            document.report(None, None, f"not valid YAML: {error.problem}")
        else:
            reason = _syntax_error(error, text, mark.line)
            document.report(mark.line + 1, mark.column + 1, reason)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.report(line, None, "not valid YAML: a control character")


class _TooDeepError(Exception):
    """Reading stops; the problem is reported."""


class _Composer:
    """Makes nodes of libyaml's events."""

    def __init__(self, text: str, document: Document) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        self._document = document

    def compose(self) -> None:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._document.report(None, None, "the file has comments only; write {} for nothing")
            return
        try:
            self._document.root = self._node(next(self._events), ())
        except _TooDeepError:
            return
        next(self._events)  # the document's end
        following = next(self._events)
        if isinstance(following, yaml.DocumentStartEvent):
            line = following.start_mark.line + 1
            self._document.report(line, 1, "a second document begins here; one is allowed")

    def _node(self, event: Any, path: KeyPath, key: Node | None = None) -> Node:
        """The value that begins with `event`; it stands where its key stands."""
        place = key or Node(None, event.start_mark.line + 1, event.start_mark.column + 1)
        node = Node(None, place.line, place.column)
        if len(path) > MAX_DEPTH:
            self._refuse(node, path[:MAX_DEPTH], f"nested more than {MAX_DEPTH} levels deep")
            raise _TooDeepError
        if isinstance(event, yaml.AliasEvent):
            self._refuse(node, path, "aliases (*name) are not allowed; write the value out")
            node.value = UNUSABLE
            return node
        if event.anchor is not None:
            self._refuse(node, path, "anchors (&name) are not allowed; write the value out")
        if event.tag is not None:
            self._refuse(node, path, f"tags ({event.tag}) are not allowed; quotes make a string")
        match event:
            case yaml.MappingStartEvent():
                node.value = self._mapping(path)
            case yaml.SequenceStartEvent():
                node.value = self._sequence(path)
            case _:
                node.text = event.value
                node.value = self._scalar(event, node, path)
        return node

    def _mapping(self, path: KeyPath) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            child_path = (*path, key.text)
            child = self._node(next(self._events), child_path, key)
            if first := children.get(key.text):
                self._refuse(key, child_path, f"duplicate key; the first is in line {first.line}")
            else:
                children[key.text] = child
        return children

    def _key(self, event: Any, path: KeyPath) -> Node:
        key = Node(None, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.CollectionStartEvent):
            key = self._node(event, (*path, "?"))
            self._refuse(key, path, "a key must be a string, not a mapping or a list")
            return key
        if isinstance(event, yaml.AliasEvent):
            key.text = f"*{event.anchor}"
            self._refuse(key, path, "aliases (*name) are not allowed; write the key out")
            return key
        key.text = event.value
        child_path = (*path, key.text)
        if event.anchor is not None or event.tag is not None:
            self._refuse(key, child_path, "anchors and tags are not allowed")
        elif (kind := _kind(event)) == "merge":
            self._refuse(key, child_path, "merge keys are not allowed; write the values out")
        elif kind in _KINDS:
            self._refuse(key, child_path, f"the key reads as {_KINDS[kind]}; put it in quotes")
        return key

    def _sequence(self, path: KeyPath) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _scalar(self, event: Any, node: Node, path: KeyPath) -> Value:
        text: str = event.value
        reason = "write a number in plain decimal digits, or put it in quotes"
        match _kind(event):
            case "null":
                return None
            case "bool":
                return text.lower() in _TRUE
            case "int" if len(text) <= _MAX_NUMBER and _INT.fullmatch(text):
                return int(text)
            case "float" if len(text) <= _MAX_NUMBER and _FLOAT.fullmatch(text):
                return Decimal(text)
            case "timestamp":
                if _DATE.fullmatch(text):
                    try:
                        return date.fromisoformat(text)
                    except ValueError as error:
                        reason = f"no such day: {error}"
                else:
                    reason = "write a day as 2027-01-31, or put it in quotes"
            case "str" | "merge":
                return text
        self._refuse(node, path, reason)
        return UNUSABLE

    def _refuse(self, node: Node, path: KeyPath, reason: str) -> None:
        self._document.report(node.line, node.column, reason, path)


def _kind(event: Any) -> str:
    """What YAML 1.1 takes a scalar for: `str`, `int`, `float`, `bool`, `null`, `timestamp`, `merge`."""
    if not event.implicit[0]:
        return "str"
    tag: str = _resolver.resolve(yaml.ScalarNode, event.value, (True, False))
    kind = tag.rpartition(":")[2]
    return "str" if kind == "value" else kind


def _syntax_error(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    lines = text.split("\n", line + 1)
    source = lines[line] if line < len(lines) else ""
    indentation = source[: len(source) - len(source.lstrip())]
    if "\t" in indentation:
        return "a tab in the indentation; YAML wants spaces"
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {error.problem}{context}"
