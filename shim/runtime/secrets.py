"""The secrets of a running shim, from the environment."""

import os
import secrets
from dataclasses import dataclass

from shim.model import InputError, Problem


@dataclass(frozen=True, slots=True)
class Secrets:
    """What `SHIM_JWT_SECRET`, `SHIM_OPERATOR_TOKEN` and `SHIM_HASH_KEY` hold.

    `SHIM_VIEWER_TOKEN` may hold another token.
    """

    jwt_secret: str
    operator_token: str
    hash_key: str
    dev: bool = False
    viewer_token: str = ""
    """Reads everything but users' addresses, changes nothing; empty: there is none."""

    @classmethod
    def from_environment(cls, *, dev: bool) -> "Secrets":
        """Read them; those that are missing are made up for development, or are an InputError."""
        names = ("SHIM_JWT_SECRET", "SHIM_OPERATOR_TOKEN", "SHIM_HASH_KEY")
        found = {name: os.environ.get(name, "") for name in names}
        missing = [name for name in names if not found[name]]
        if missing and not dev:
            raise InputError(
                [Problem(f"{name} is not set (--dev makes one up)") for name in missing]
            )
        if not dev and len(found["SHIM_JWT_SECRET"].encode()) < 32:
            raise InputError("SHIM_JWT_SECRET is too short: HS256 wants 32 bytes (RFC 7518)")
        for name in missing:
            found[name] = secrets.token_hex(32)
        jwt_secret, operator_token, hash_key = (found[name] for name in names)
        viewer_token = os.environ.get("SHIM_VIEWER_TOKEN", "")
        return cls(jwt_secret, operator_token, hash_key, dev, viewer_token)

    def environment(self) -> dict[str, str]:
        return {
            "SHIM_JWT_SECRET": self.jwt_secret,
            "SHIM_OPERATOR_TOKEN": self.operator_token,
            "SHIM_HASH_KEY": self.hash_key,
        }
