"""Strict YAML: a file means one thing only, or is refused with line, column and reason.

Of YAML there remain mappings with string keys, lists and scalars. Refused are duplicate keys (YAML
takes the last one silently), keys and numbers that YAML 1.1 reads as something else than they look
(`1:30` is 90, `010` is 8), anchors and aliases (a small file could grow without bound), tags, and
more than one document. Problems of this kind are gathered and the reading goes on; after a syntax
error it cannot.

Numbers with a point stay decimal, so that a width of 12.345 is exactly that.
"""

import errno
import re
import stat
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

# libyaml's parser is 20 times as fast. Reading event by event lets other threads run in between.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*(e[-+][0-9]{1,3})?", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_KINDS = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge",
}


class UnreadableError(InputError):
    """The file could not be read at all, so nothing is known about what is in it."""


class ExhaustedError(UnreadableError):
    """The process has no means to read a file now, such as a file descriptor: nothing is said of the file."""


_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises UnreadableError if there is no file, or if it is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError(Problem("no such file", str(path))) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        exhausted = getattr(error, "errno", None) in _EXHAUSTED
        kind = ExhaustedError if exhausted else UnreadableError
        raise kind(Problem(f"cannot be read: {reason}", str(path))) from None
    if len(data) > MAX_BYTES:
        raise UnreadableError(Problem(f"larger than {MAX_BYTES} bytes", str(path)))
    return data


def read_regular_file(path: Path) -> bytes:
    """The content of a file that is read again and again. Raises UnreadableError also for a pipe, whose
    reading would never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError(Problem("is no regular file", str(path)))
    except (OSError, ValueError):
        pass  # the reading tells
    return read_bytes(path)


def decode(data: bytes, document: Document) -> str:
    """The text of a file. Raises InputError if it has none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"not UTF-8: byte 0x{data[error.start]:02x}"
        raise InputError(Problem(reason, document.file, line)) from None
    if not text.strip():
        raise InputError(Problem("the file is empty", document.file))
    return text


def parse(text: str, document: Document) -> Node:
    """Read the text into the document: the root, which is answered, and the problems.

    Raises InputError with the problems if there is no root.
    """
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
    if document.root is None:
        document.raise_problems()
    assert document.root is not None, "a file without root has a problem"
    return document.root


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
            self._refuse(_placed(following), (), "a second document begins here; one is allowed")

    def _node(self, event: Any, path: KeyPath, key: Node | None = None) -> Node:
        """The value that begins with `event`; it stands where its key stands."""
        node = _placed(event) if key is None else Node(None, key.line, key.column)
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
                items: list[Node] = []
                while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                    items.append(self._node(item, (*path, len(items))))
                node.value = items
            case _:
                node.text = event.value
                try:
                    node.value = _convert(event.value, _kind(event))
                except ValueError as error:
                    self._refuse(node, path, str(error))
                    node.value = UNUSABLE
        return node

    def _mapping(self, path: KeyPath) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            child_path = (*path, key.text)
            child = self._node(next(self._events), child_path, key)
            if key.value is UNUSABLE:
                continue
            if first := children.get(key.text):
                self._refuse(key, child_path, f"duplicate key; the first is in line {first.line}")
            else:
                children[key.text] = child
        return children

    def _key(self, event: Any, path: KeyPath) -> Node:
        """A key; unusable if it has no text, while a text that reads as something else is used."""
        key = _placed(event)
        if isinstance(event, yaml.CollectionStartEvent):
            self._node(event, (*path, "?"))
            self._refuse(key, path, "a key must be a string, not a mapping or a list")
            key.value = UNUSABLE
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(key, path, "aliases (*name) are not allowed; write the key out")
            key.value = UNUSABLE
        else:
            key.text = event.value
            if event.anchor is not None or event.tag is not None:
                self._refuse(key, (*path, key.text), "anchors and tags are not allowed")
            elif (kind := _kind(event)) in _KINDS:
                reason = f"the key reads as {_KINDS[kind]}; put it in quotes"
                self._refuse(key, (*path, key.text), reason)
        return key

    def _refuse(self, node: Node, path: KeyPath, reason: str) -> None:
        self._document.report(node.line, node.column, reason, path)


def _placed(event: Any) -> Node:
    return Node(None, event.start_mark.line + 1, event.start_mark.column + 1)


def _kind(event: Any) -> str:
    """What YAML 1.1 takes a scalar for; what is quoted is a string."""
    if not event.implicit[0]:
        return "str"
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
    kind = tag.removeprefix(_TAG)
    return kind if kind in _KINDS else "str"


def _convert(text: str, kind: str) -> Value:
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


def _syntax_error(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    lines = text.split("\n", line + 1)
    source = lines[line] if line < len(lines) else ""
    indentation = source[: len(source) - len(source.lstrip())]
    if "\t" in indentation:
        return "a tab in the indentation; YAML wants spaces"
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {error.problem}{context}"
