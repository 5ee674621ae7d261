"""Who may connect: JSON web tokens and API keys; and the secrets of the reference server."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from aiohttp import web

from shim.model import InputError, Problem
from shim.server.ids import read_id
from shim.server.refusals import Refused


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


class Gatekeeper:
    """Checks credentials; every comparison of secrets takes constant time."""

    def __init__(self, secrets: Secrets, apps: Mapping[str, Any]) -> None:
        self._secrets = secrets
        self._apps = apps

    def claims(self, request: web.Request) -> dict[str, Any]:
        """The claims of the request's bearer token. Raises Refused."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("a bearer token is needed")
        try:
            claims: dict[str, Any] = jwt.decode(
                token.strip(), self._secrets.jwt_secret, algorithms=["HS256"]
            )
        except UnicodeError:
            raise Refused("the token is not valid: it is no UTF-8") from None
        except jwt.InvalidTokenError as error:
            raise Refused(f"the token is not valid: {error}") from None
        return claims

    def user(self, request: web.Request) -> str:
        """The user of a glasses connection: the token's `email`. Raises Refused."""
        return read_id("the token's email", self.claims(request).get("email"))

    def check_app(self, package: str, api_key: str) -> None:
        """Raises Refused unless this is the key of that package."""
        # A lone surrogate is no valid UTF-8; a key with one is wrong, and no reason to fail.
        key = api_key.encode("utf-8", "surrogatepass")
        if self._secrets.dev and hmac.compare_digest(key, b"dev"):
            return
        digest = hashlib.sha256(key).hexdigest()
        app = self._apps.get(package)
        # An unknown package takes as long as a wrong key.
        expected = app.api_key_sha256 if app is not None else "0" * 64
        if not hmac.compare_digest(digest, expected) or app is None:
            raise Refused("unknown package or wrong API key")
