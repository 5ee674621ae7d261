"""Clients of every behaviour at every stage: who they are, their flags, and their settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.demo.demo_settings import settings_value
from shim.model import Kind, Stage
from shim.settings.flags_file import parse_flags

LENGTH = 400.0
"""Seconds of a real service within which all that is checked happens, return windows included."""

_FLAGS = """\
version: 1
flag: monitor-rollout
hash: {algorithm: blake2b-v1, salt: monitor-rollout-demo}
kill_switch: false
default: off
holdback: 0
overrides: {}
rules: []
percent: {complete: 25, live: 25, shadow: 25}
...
"""
MATRIX_FLAGS = parse_flags(_FLAGS.encode(), "the matrix's flags")

_NEVER = 1_000_000_000

_SHARES: Mapping[ClientBehaviour, float] = {
    ClientBehaviour.HEALTHY: 0.40,
    ClientBehaviour.FROZEN: 0.12,
    ClientBehaviour.SILENT: 0.16,
    ClientBehaviour.DROPPED: 0.12,
    ClientBehaviour.FLAPPING: 0.08,
    ClientBehaviour.SDK: 0.12,
}
BEHAVIOURS = tuple(_SHARES)
"""All but the one that the demo of a fleet alone has."""

_LEAST: Mapping[ClientBehaviour, int] = {ClientBehaviour.SILENT: 3}
"""Per stage: whether a silence ends before the next sweep is chance, but not for many of them."""


@dataclass(frozen=True, slots=True)
class PlacedClient(ClientSpec):
    """A client whose user is at this stage."""

    stage: Stage


def matrix_clients(users: int) -> list[PlacedClient]:
    """For every behaviour and stage as many users as its share of `users`, at least one.

    Nobody is assigned to a stage: users are taken in turn, and each goes where the flags say.
    """
    clients = []
    for behaviour in BEHAVIOURS:
        share = round(_SHARES[behaviour] * users / len(Stage))
        room = dict.fromkeys(Stage, max(share, _LEAST.get(behaviour, 1)))
        number = 0
        while any(room.values()):
            number += 1
            user = f"{behaviour}-{number}@example.com"
            stage = MATRIX_FLAGS.evaluate(user).stage
            if room[stage]:
                room[stage] -= 1
                kinds = kinds_of(behaviour, room[stage])
                clients += [PlacedClient(user, kind, behaviour, stage) for kind in kinds]
    return clients


def kinds_of(behaviour: ClientBehaviour, number: int) -> tuple[Kind, ...]:
    """Healthy users have glasses and an app, users of the SDK an app, others one of the two in turn."""
    if behaviour is ClientBehaviour.HEALTHY:
        return (Kind.GLASSES, Kind.APP)
    if behaviour is ClientBehaviour.SDK:
        return (Kind.APP,)
    return (Kind.APP if number % 2 else Kind.GLASSES,)


def matrix_settings(factor: float, ledger: str) -> dict[str, Any]:
    """Without brake and guard: half of these clients time out, and many of those are alive, on purpose."""
    value = settings_value(factor, ledger)
    return {**value, "brake": {"count": _NEVER, "share": 0.99}, "guard": {"count": _NEVER}}
