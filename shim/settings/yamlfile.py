"""YAML read strictly, with the line and column of every key.

Plain YAML forgives what an operator would want to hear about: of two equal keys the last one wins,
an alias can stand for a billion values, `12:30` is the number 750, the user id 1234 is no text.
All of that is refused here, with its place.

The file is read as a stream of parser events, not as a tree of nodes, so that depth is limited
before anything recurses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from shim.model import InputError, Problem

LARGEST = 5_000_000
"""Bytes; about 100 000 overrides."""
DEEPEST = 20
"""Levels of mappings and lists within each other."""

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and the list indices (from 0) that lead to a value."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*(e[-+][0-9]{1,3})?", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class UnreadableFile(InputError):
    """A file that is missing, a directory, or not ours to read: its content is not at fault."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """What a file says: plain dicts, lists, texts, numbers, dates, booleans and None.

    `marks` has the place of every key and list item, `unwritten` the keys with nothing after the
    colon. `problems` are those that did not keep the rest from being read. `ended`: by a `...`.
    """

    file: str | None = None
    value: Any = None
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    unwritten: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    ended: bool = False

    def problem(self, path: KeyPath, reason: str) -> Problem:
        """A problem at that key or, where it is missing, at what it is missing from."""
        place = path
        while place and place not in self.marks:
            place = place[:-1]
        mark = self.marks.get(place)
        return Problem(
            reason,
            file=self.file,
            line=mark.line if mark else None,
            column=mark.column if mark else None,
            path=format_path(path) or None,
        )


def read_text(path: Path) -> str:
    """The text of a file. Raises UnreadableFile, or InputError for what is no text of that size."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(Problem(f"cannot be read: {reason}", file=str(path))) from error
    if len(content) > LARGEST:
        raise InputError(Problem(f"is larger than {LARGEST // 1_000_000} MB", file=str(path)))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(Problem("is not UTF-8", file=str(path), line=line)) from error


def parse_yaml(text: str, file: str | None = None) -> Document:
    """The one document in the text; an empty text has the value None.

    Raises InputError for what is no YAML, and for documents, aliases or depths that are refused;
    what else is wrong is in `Document.problems`.
    """
    document = Document(file)
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        mark = _mark_at(text, unprintable.start())
        raise _error(document, mark, f"the character {unprintable.group()!r} may not stand here")
    builder = _Builder(document)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.handle(event)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = _mark(place) if place else Mark(1, 1)
        raise _error(document, mark, _syntax_reason(text, mark, error)) from error
    except yaml.YAMLError as error:
        raise _error(document, Mark(1, 1), f"is no YAML: {error}") from error
    return document


def format_path(path: KeyPath) -> str:
    """A key path in words, such as `rules[0].percent.live` or `overrides."a@example.com"`."""
    words = ""
    for key in path:
        if isinstance(key, int):
            words += f"[{key}]"
            continue
        name = key if _PLAIN_KEY.fullmatch(key) else f'"{key}"'
        words += f".{name}" if words else name
    return words


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet; `key`: whose value comes next in a mapping."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None
    discard: bool = False


class _Builder:
    """Makes a document of parser events."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._documents = 0

    def handle(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._check_properties(event)
                self._scalar(event)
            case yaml.MappingStartEvent():
                self._check_properties(event)
                self._start({}, _mark(event.start_mark))
            case yaml.SequenceStartEvent():
                self._check_properties(event)
                self._start([], _mark(event.start_mark))
            case yaml.CollectionEndEvent():
                self._open.pop()
            case yaml.AliasEvent():
                raise self._refusal(event, "aliases (*) are not used here: write the value again")
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._refusal(event, "a second document begins; a file has one")
            case yaml.DocumentEndEvent():
                self._document.ended = bool(event.explicit)

    def _check_properties(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._report(_mark(event.start_mark), "anchors (&) are not used here: leave it out")
        if getattr(event, "tag", None) is not None:
            self._report(_mark(event.start_mark), "tags (!) are not used here: leave it out")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        mark = _mark(event.start_mark)
        top = self._open[-1] if self._open else None
        plain = event.implicit[0] and event.style is None
        kind = _kind(event.value) if plain else "str"
        if top is not None and isinstance(top.container, dict) and top.key is None:
            self._key(top, event.value, kind, mark)
            return
        try:
            value = _convert(event.value, kind)
        except ValueError as error:
            value = event.value
            self._report(mark, str(error), self._next_path())
        if value is None and event.value == "":
            self._document.unwritten.add(self._next_path())
        self._place(value, mark)

    def _key(self, top: _Open, text: str, kind: str, mark: Mark) -> None:
        path = (*top.path, text)
        top.key = text
        top.discard = False
        if kind != "str":
            self._report(mark, f"the key {text} is read as {_KINDS[kind]}: write it in quotes", path)
            top.discard = True
        elif text in top.container:
            first = self._document.marks[path].line
            self._report(mark, f"is here already, in line {first}", path)
            top.discard = True
        else:
            self._document.marks[path] = mark

    def _start(self, container: dict[str, Any] | list[Any], mark: Mark) -> None:
        if len(self._open) == DEEPEST:
            raise _error(self._document, mark, f"is nested deeper than {DEEPEST} levels")
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            raise _error(self._document, mark, "a mapping or list cannot be a key")
        path = self._next_path()
        self._place(container, mark)
        self._open.append(_Open(container, path))

    def _next_path(self) -> KeyPath:
        """The path of the value that comes next."""
        if not self._open:
            return ()
        top = self._open[-1]
        if isinstance(top.container, list):
            return (*top.path, len(top.container))
        assert top.key is not None
        return (*top.path, top.key)

    def _place(self, value: Any, mark: Mark) -> None:
        # A discarded duplicate must not move the marks of the first one.
        self._document.marks.setdefault(self._next_path(), mark)
        if not self._open:
            self._document.value = value
            return
        top = self._open[-1]
        if isinstance(top.container, list):
            top.container.append(value)
            return
        assert top.key is not None
        if not top.discard:
            top.container[top.key] = value
        top.key = None

    def _report(self, mark: Mark, reason: str, path: KeyPath = ()) -> None:
        self._document.problems.append(
            Problem(reason, self._document.file, mark.line, mark.column, format_path(path) or None)
        )

    def _refusal(self, event: yaml.Event, reason: str) -> InputError:
        return _error(self._document, _mark(event.start_mark), reason)


_KINDS = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge",
}


def _kind(text: str) -> str:
    """What YAML 1.1 takes an unquoted text for."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    kind = tag.removeprefix(_TAG)
    return kind if kind in _KINDS else "str"


def _convert(text: str, kind: str) -> Any:
    """The value of an unquoted text; raises ValueError for spellings that few people can read."""
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() in ("yes", "true", "on")
        case "int" if _INTEGER.fullmatch(text) and len(text) < 20:
            return int(text)
        case "float" if _DECIMAL.fullmatch(text) and len(text) < 40:
            return float(text)
        case "int" | "float":
            raise ValueError(f"{text[:40]} is an unusual number: write plain digits, or quote a text")
        case "timestamp" if _DAY.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                raise ValueError(f"{text} is no day of the calendar") from None
        case "timestamp":
            raise ValueError(f"{text} is more than a day: write it like 2027-01-31")
    return text


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _mark_at(text: str, index: int) -> Mark:
    return Mark(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _error(document: Document, mark: Mark, reason: str) -> InputError:
    """What ends the reading, after whatever was found before."""
    return InputError([*document.problems, Problem(reason, document.file, mark.line, mark.column)])


def _syntax_reason(text: str, mark: Mark, error: yaml.MarkedYAMLError) -> str:
    """A tab is the one mistake that the parser's words do not lead to."""
    lines = text.splitlines()
    for number in _nearby_lines(mark, error):
        line = lines[number - 1] if number <= len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return f"line {number} is indented with a tab: YAML wants spaces"
    words = ", ".join(word for word in (error.context, error.problem) if word)
    return f"is no YAML: {words}"


def _nearby_lines(mark: Mark, error: yaml.MarkedYAMLError) -> Iterator[int]:
    yield mark.line
    if mark.line > 1:
        yield mark.line - 1
    if error.context_mark is not None:
        yield error.context_mark.line + 1
