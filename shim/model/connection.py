"""Connections, their identity, the roles of the monitors, and the stages.

Rules: docs/design.md#r15, docs/design.md#r16.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias


class Kind(StrEnum):
    """What is at the other end of a connection."""

    GLASSES = "glasses"
    APP = "app"


Identity: TypeAlias = tuple[str, Kind, str | None, str | None]
"""User, kind, package and instance: what stays the same when a client comes back on a new connection."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One WebSocket, from its registration until it is gone.

    `package` is the app's package name; glasses have none. `instance` tells connections of one user and
    package apart that are open side by side (two tabs, two devices), where the service names instances.
    """

    id: str
    kind: Kind
    user: str
    session: str
    package: str | None = None
    instance: str | None = None

    @property
    def identity(self) -> Identity:
        return (self.user, self.kind, self.package, self.instance)


@dataclass(frozen=True, slots=True)
class Placement:
    """How the flags placed a user.

    Attributes:
        group: the users whom the same percentages placed, so that chance alone decided between them
            (R15): `everybody`, or the name of a rule; None: no percentages placed this user.
        override: whether an override named this very user; such users are never counted (R16).
        counted: whether what happens to the user is evidence at all, for the gate and for the brake: somebody
            vouches that there is such a user.
    """

    group: str | None
    override: bool = False
    counted: bool = True


EVERYBODY: Final = "everybody"
"""The group of the users whom the percentages for everybody placed."""

BY_CHANCE: Final = Placement(EVERYBODY)

UNCOUNTED: Final = Placement(None, counted=False)
"""How a user is placed who is no evidence."""


class Role(StrEnum):
    """The two monitors, in the words of controlled experiments."""

    CONTROL = "control"
    CANDIDATE = "candidate"

    @property
    def other(self) -> "Role":
        return Role.CANDIDATE if self is Role.CONTROL else Role.CONTROL


class Stage(IntEnum):
    """How far the migration has come for a user; a higher stage is more advanced."""

    OFF = 0
    SHADOW = 1
    LIVE = 2
    COMPLETE = 3

    def __str__(self) -> str:
        return _STAGE_NAMES[self]

    @property
    def acting(self) -> Role:
        """The monitor whose effects reach the socket."""
        return Role.CANDIDATE if self >= Stage.LIVE else Role.CONTROL

    @property
    def shadowing(self) -> Role | None:
        """The monitor whose effects are only recorded, where both run."""
        return self.acting.other if self in (Stage.SHADOW, Stage.LIVE) else None


_STAGE_NAMES = tuple(stage.name.lower() for stage in Stage)
"""By rank: an enumeration takes half a microsecond to find the name of a member."""
