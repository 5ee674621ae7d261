"""The secrets of a running shim, from the environment."""

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from shim.model import InputError, Problem
from shim.model.visible_text import is_visible

log = logging.getLogger(__name__)

_JWT_SECRET, OPERATOR_TOKEN = "SHIM_JWT_SECRET", "SHIM_OPERATOR_TOKEN"
_HASH_KEY, VIEWER_TOKEN = "SHIM_HASH_KEY", "SHIM_VIEWER_TOKEN"

SHORTEST = {_JWT_SECRET: 32, OPERATOR_TOKEN: 16, _HASH_KEY: 16, VIEWER_TOKEN: 16}
"""Bytes. HS256 needs as many as its digest has (RFC 7518 section 3.2); the others need 128 bits of hexadecimal
digits or more, because a person can try keys without being seen."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What `SHIM_JWT_SECRET`, `SHIM_OPERATOR_TOKEN`, `SHIM_HASH_KEY` and `SHIM_VIEWER_TOKEN` hold."""

    jwt_secret: str = field(repr=False)
    """Signs the tokens of the reference server's clients; empty where another service embeds the shim."""
    operator_token: str = field(repr=False)
    """Reads and changes everything in the console."""
    hash_key: str = field(repr=False)
    """The key of the pseudonyms."""
    dev: bool = False
    """Whether the reference server accepts every app with the key `dev`."""
    viewer_token: str = field(default="", repr=False)
    """Reads everything except users' names, changes nothing; empty: there is no such token."""
    made_up: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The variables that were missing, with the random values that stand in for them."""

    @classmethod
    def from_environment(cls, *, dev: bool = False, reference_server: bool = False) -> "Secrets":
        """Read the secrets. With `dev`, random secrets are made for the missing ones.

        Only the reference server needs `SHIM_JWT_SECRET`. Blanks and line ends around a secret are left out.
        Raises InputError with everything that is wrong, without the values.
        """
        needed = [OPERATOR_TOKEN, _HASH_KEY]
        if reference_server:
            needed.insert(0, _JWT_SECRET)
        found = {name: read_secret(name) for name in SHORTEST}
        missing = [name for name in needed if not found[name]]
        made_up = {name: secrets.token_hex(32) for name in missing} if dev else {}
        hint = " (--dev makes one up)" if reference_server else ""
        reasons = [f"{name} is not set{hint}" for name in missing if not dev]
        for name, value in found.items():
            if name in needed or name == VIEWER_TOKEN:
                reasons += _faults(name, value, 0 if dev else SHORTEST[name])
        if found[VIEWER_TOKEN] and found[VIEWER_TOKEN] == found[OPERATOR_TOKEN]:
            reasons.append(f"{VIEWER_TOKEN} is the same as {OPERATOR_TOKEN}")
        if reasons:
            raise InputError([Problem(reason) for reason in reasons])
        found |= made_up
        return cls(
            jwt_secret=found[_JWT_SECRET],
            operator_token=found[OPERATOR_TOKEN],
            hash_key=found[_HASH_KEY],
            dev=dev,
            viewer_token=found[VIEWER_TOKEN],
            made_up=made_up,
        )


def read_secret(name: str) -> str:
    """The value of a variable without blanks and line ends around it; empty if there is no value."""
    value = os.environ.get(name, "")
    if (secret := value.strip()) and secret != value:
        log.warning("%s: the blanks or line ends around the secret are no part of it", name)
    return secret


def _faults(name: str, secret: str, shortest: int) -> list[str]:
    """Why a secret cannot be used; the reasons contain nothing of it."""
    for number, letter in enumerate(secret, 1):
        if not is_visible(letter):
            shown = ascii(letter)[1:-1]
            return [
                f"{name}: character {number} is {shown}; a secret is one line of visible characters"
            ]
    if secret and (length := len(secret.encode())) < shortest:
        why = (
            "HS256 needs them (RFC 7518)" if name == _JWT_SECRET else "a shorter one can be guessed"
        )
        return [f"{name} is too short: it has {length} of at least {shortest} bytes; {why}"]
    return []
