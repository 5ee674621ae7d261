"""The secrets of a running shim, from the environment."""

import os
import secrets
from dataclasses import dataclass

from shim.model import InputError, Problem

_JWT_SECRET, _OPERATOR_TOKEN = "SHIM_JWT_SECRET", "SHIM_OPERATOR_TOKEN"
_HASH_KEY, _VIEWER_TOKEN = "SHIM_HASH_KEY", "SHIM_VIEWER_TOKEN"
_SHORTEST_JWT_SECRET = 32
"""Bytes; HS256 needs as many as its digest has (RFC 7518 section 3.2)."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What `SHIM_JWT_SECRET`, `SHIM_OPERATOR_TOKEN`, `SHIM_HASH_KEY` and `SHIM_VIEWER_TOKEN` hold."""

    jwt_secret: str
    """Signs the tokens of the reference server's clients; empty where another service embeds the shim."""
    operator_token: str
    """Reads and changes everything in the console."""
    hash_key: str
    """The key of the pseudonyms."""
    dev: bool = False
    """Whether the reference server accepts every app with the key `dev`."""
    viewer_token: str = ""
    """Reads everything except users' names, changes nothing; empty: there is no such token."""

    @classmethod
    def from_environment(cls, *, dev: bool = False, reference_server: bool = False) -> "Secrets":
        """Read the secrets. With `dev`, random secrets are made for the missing ones.

        Only the reference server needs `SHIM_JWT_SECRET`. Raises InputError that names every variable
        that is missing.
        """
        needed = [_OPERATOR_TOKEN, _HASH_KEY]
        if reference_server:
            needed.insert(0, _JWT_SECRET)
        found = {name: os.environ.get(name, "") for name in (_JWT_SECRET, *needed)}
        missing = [name for name in needed if not found[name]]
        if missing and not dev:
            hint = " (--dev makes one up)" if reference_server else ""
            raise InputError([Problem(f"{name} is not set{hint}") for name in missing])
        for name in missing:
            found[name] = secrets.token_hex(32)
        if reference_server and not dev and len(found[_JWT_SECRET].encode()) < _SHORTEST_JWT_SECRET:
            raise InputError("SHIM_JWT_SECRET is too short: HS256 needs 32 bytes (RFC 7518)")
        return cls(
            jwt_secret=found[_JWT_SECRET],
            operator_token=found[_OPERATOR_TOKEN],
            hash_key=found[_HASH_KEY],
            dev=dev,
            viewer_token=os.environ.get(_VIEWER_TOKEN, ""),
        )

    def environment(self) -> dict[str, str]:
        """The variables that give these secrets to another process."""
        return {
            _JWT_SECRET: self.jwt_secret,
            _OPERATOR_TOKEN: self.operator_token,
            _HASH_KEY: self.hash_key,
        }
