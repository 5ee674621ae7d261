"""The orders that change the rollout over the API, and what the API answers about flags, plan and retirement.

Rules: docs/design.md#r20, docs/design.md#r23, docs/design.md#r26.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shim.console.api.schemas import RecordAnswer
from shim.ledger.completeness import Completeness
from shim.rollout.rollout_state import RolloutState, StepAnswer
from shim.settings.yamlfile import MAX_BYTES

LONGEST_FLAGS = 4 * MAX_BYTES
"""Bytes of a body that has a flags file in it: as JSON some characters are longer."""

_Reason = Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"\S")]
_Person = Annotated[
    str,
    Meta(max_length=200, description="Who gives the order; the record names the token, too."),
]
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{8,64}$")]


class RolloutAnswer(RolloutState, frozen=True, kw_only=True):
    """Where the rollout stands by the plan; to viewers without what may name users (`moves`, `warnings`)."""

    record: Completeness | None


class AdvanceAnswer(StepAnswer, frozen=True, kw_only=True):
    """The same, and the change that was made; null: nothing was changed."""

    record: Completeness | None


class AdvanceOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Take the next step of the plan, if nothing is missing; with `force` (it needs a reason) in any case."""

    who: _Person | None = None
    reason: _Reason | None = None
    force: bool = False
    dry_run: Annotated[bool, Meta(description="Change nothing.")] = False


class VersionAnswer(msgspec.Struct, kw_only=True):
    """A version of the flags in the store of the fleet (R26)."""

    id: int
    digest: Annotated[str, Meta(description="The SHA-256 of the flags file.")]
    before: Annotated[str | None, Meta(description="That of the version before; null: the first.")]
    who: str
    reason: str
    at: Annotated[float, Meta(description="Seconds since 1970, by the store's clock.")]


class VersionsAnswer(msgspec.Struct, kw_only=True):
    """The versions, newest first: the first one is in force."""

    versions: list[VersionAnswer]


class ContentAnswer(VersionAnswer, kw_only=True):
    """The version in force, with its text, which may name users: operators alone may see it."""

    text: Annotated[str, Meta(description="The flags file.")]


class PushedAnswer(VersionAnswer, kw_only=True):
    """The version that is in force now."""

    in_force: Annotated[
        bool,
        Meta(description="Whether it is what was pushed; false: `if_digest` is another one's."),
    ]


class PushOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Bring a flags file into the store: it is in force in every process within 2 seconds."""

    text: str
    reason: _Reason
    who: _Person | None = None
    if_digest: Annotated[
        _Digest | None,
        Meta(description="Only if the flags in force have this SHA-256, or one that begins so."),
    ] = None


class RetirementAnswer(msgspec.Struct, kw_only=True):
    """The gate's answer, and the report of the evidence, if it says `ready` or the report was forced."""

    gate: dict[str, Any]
    report: Annotated[dict[str, Any] | None, Meta(description="As `shim retire` writes it.")]
    record: RecordAnswer
