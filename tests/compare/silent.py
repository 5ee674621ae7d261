"""A silent connection, as the comparator is told of it."""

from dataclasses import dataclass

from shim.model import BY_CHANCE, Connection, Placement, Role, Time


@dataclass
class Silent:
    connection: Connection
    order: int = 1
    last_activity: Time = 0
    acting: Role | None = Role.CONTROL
    placement: Placement = BY_CHANCE
