"""The flags file: strictly read, whole or not at all (R20: docs/design.md#r20).

Every top-level key is required, and the last line is `...`, YAML's end of document: whatever is cut
off a good file, the rest is not taken for another good file.

Rules: docs/design.md#r26.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from shim.flags.buckets import ALGORITHM
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Stage
from shim.settings.document import Document
from shim.settings.faults import Fault, duplicate_names, validate
from shim.settings.fields import ListOf, Section, Text, Width, read_by, read_width, read_word
from shim.settings.yamlfile import decode, parse, read_bytes

END = "..."

_read_stage_name = read_word(Stage)


def _read_stage(value: Any) -> Stage:
    # YAML 1.1 reads a bare `off` as false.
    return Stage.OFF if value is False else _read_stage_name(value)


def _only(known: str | int, noun: str) -> PlainValidator:
    """Reads this value, the only one of its sort."""

    def read(value: Any) -> Any:
        if value is True or value != known:
            raise ValueError(f"must be {known}, the only {noun} there is")
        return value

    return PlainValidator(read)


StageName = Annotated[
    Stage, PlainValidator(_read_stage), WithJsonSchema({"enum": [*map(str, Stage), False]})
]


class PercentSection(Section):
    """Widths: how many percent of all users are at which stage."""

    complete: Width = Field(default=Decimal(0), description="Percent of all users at `complete`.")
    live: Width = Field(default=Decimal(0), description="Percent of all users at `live`.")
    shadow: Width = Field(default=Decimal(0), description="Percent of all users at `shadow`.")

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        widths = {}
        for key in cls.model_fields:
            with suppress(ValueError):
                widths[key] = read_width(given.get(key, 0))
        try:
            Percentages(**widths)
        except ValueError as error:
            yield Fault((), str(error))

    def percentages(self) -> Percentages:
        return Percentages(complete=self.complete, live=self.live, shadow=self.shadow)


Widths = Annotated[Percentages, read_by(PercentSection, PercentSection.percentages)]
"""`Percentages`, read from the keys of `PercentSection`."""


class HashSection(Section):
    """How users get their buckets."""

    algorithm: Annotated[
        str, _only(ALGORITHM, "algorithm"), WithJsonSchema({"const": ALGORITHM})
    ] = Field(description="The hash of the buckets.")
    salt: Text = Field(description="Another salt gives every user another bucket: leave it.")


class RuleSection(Section):
    """Users who share a stage, or widths."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["stage"]}, {"required": ["percent"]}]}
    )

    name: Text = Field(description="The rule's own name; every evaluation that it decides says it.")
    users: ListOf[Text] = Field(
        description="Exact user ids and globs: `*`, `?` and `[abc]`.",
        json_schema_extra={"minItems": 1},
    )
    stage: StageName = Field(default=Stage.OFF, description="The stage of all these users.")
    percent: Widths = Field(
        default=Percentages(), description="Widths; whom they miss goes on to the next rule."
    )

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        if ("stage" in given) == ("percent" in given):
            yield Fault((), "a rule has either stage or percent")
        if given.get("users") == []:
            yield Fault(("users",), "must not be empty")

    def rule(self) -> Rule:
        return Rule(**{key: getattr(self, key) for key in self.model_fields_set})


class FlagsSection(Section):
    """The whole file."""

    model_config = ConfigDict(title="Flags of the monitor migration")

    version: Annotated[int, _only(1, "version"), WithJsonSchema({"const": 1})] = Field(
        description="The version of this format."
    )
    flag: Text = Field(description="The flag's name in traces and for OpenFeature.")
    hash: Annotated[str, read_by(HashSection, attrgetter("salt"))] = Field(
        description="What gives each user a fixed bucket."
    )
    kill_switch: bool = Field(description="true: everyone is at `off`, overrides included.")
    default: StageName = Field(description="The stage of users whom nothing else names.")
    holdback: Width = Field(description="Percent of all users who stay at `shadow` at most.")
    overrides: dict[Text, StageName] = Field(
        description="Single users by their exact id; asked first."
    )
    rules: ListOf[Annotated[Rule, read_by(RuleSection, RuleSection.rule)]] = Field(
        description="Asked next, from first to last, unless overridden."
    )
    percent: Widths = Field(description="Widths for everybody; asked after the rules.")

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        return duplicate_names(given.get("rules"), "rules")

    def targeting(self) -> Targeting:
        values = {key: getattr(self, key) for key in type(self).model_fields}
        del values["version"]
        return Targeting(salt=values.pop("hash"), **values)


UNKNOWN_FLAGS = f"""\
# The flags of the fleet are not known yet: this process has never reached the store.
version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: monitor-rollout}}
kill_switch: false
default: "off"
holdback: 0
overrides: {{}}
rules: []
percent: {{complete: 0, live: 0, shadow: 0}}
{END}
"""


@dataclass(frozen=True)
class FlagsFile:
    """What a flags file means, and where it came from; `digest` is its SHA-256, in hex."""

    targeting: Targeting
    path: Path
    digest: str


def load_flags_file(path: Path, read: Callable[[Path], bytes] = read_bytes) -> FlagsFile:
    """Read a flags file; `read` gives its content. Raises InputError with every problem in it."""
    data = read(path)
    return FlagsFile(parse_flags(data, str(path)), path, sha256(data).hexdigest())


def unknown_flags(path: Path) -> FlagsFile:
    """The file of a process that has never heard of the fleet's flags (R26): everybody is at `off`.

    It is not there yet; `UNKNOWN_FLAGS` is its content.
    """
    return load_flags_file(path, lambda _: UNKNOWN_FLAGS.encode())


def parse_flags(data: bytes, file: str) -> Targeting:
    """What a flags file's content means; `file` is its name in problems.

    Raises InputError with every problem in it.
    """
    document = Document(file)
    text = decode(data, document)
    lines = text.rstrip(" \t\r\n").split("\n")
    if lines[-1] != END:
        reason = f"the last line must be {END}; without it the file may have been cut off"
        document.report(len(lines), 1, reason)
    value = parse(text, document).plain(exact=True)
    return validate(FlagsSection, document, value).targeting()


def flags_schema() -> dict[str, Any]:
    """The JSON Schema of the flags file, for editors.

    It is laxer than the reader: it cannot say that widths add to 100 at most, that names are unique
    and what the last line is.
    """
    dialect = {"$schema": "http://json-schema.org/draft-07/schema#"}
    return dialect | FlagsSection.model_json_schema(schema_generator=_EditorSchema)


class _EditorSchema(GenerateJsonSchema):
    """A schema without titles that repeat the keys, and without defaults."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])
