"""Checks which clients may connect: JSON web tokens, API keys, and the ids that clients give themselves."""

import hashlib
import hmac
import logging
import re
from typing import Any

import jwt
from aiohttp import web
from jwt.types import Options

from shim.console.access.access import bearer_token
from shim.model import seconds
from shim.model.visible_text import describe_id
from shim.runtime.secrets import Secrets
from shim.settings.sections import ServerSettings

log = logging.getLogger(__name__)

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013

LONGEST = 256
"""Characters; an e-mail address has 254 at most."""

_LONGEST_SHOWN = 80

_NOT_OURS: Options = {"verify_aud": False, "verify_sub": False, "verify_jti": False}
"""Claims that only others read: the issuer of a token may put any value into them."""

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters and line ends would forge lines of the log; lone surrogates are not valid
UTF-8, so they cannot be stored or sent."""


class ClientRefused(Exception):
    """This client is not served; the client may see the reason, and `code` closes its WebSocket."""

    def __init__(self, reason: str, code: int = POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


def read_id(name: str, value: object) -> str:
    """A user, session or package as a client gave it. Raises ClientRefused for an impossible id."""
    if not isinstance(value, str) or not value.strip():
        raise ClientRefused(f"{name} is missing")
    if len(value) > LONGEST:
        raise ClientRefused(f"{name} is longer than {LONGEST} characters")
    if _UNFIT.search(value):
        raise ClientRefused(f"{name} has characters that no id may have")
    return value


def describe_claim(value: object) -> str:
    """The id that a client claims, for the log: in one short line."""
    if not isinstance(value, str) or not value:
        return "unknown"
    cut = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
    return describe_id(cut)


class WrongKeyError(ClientRefused):
    """An app's key is wrong, or nobody knows the package."""


class Gatekeeper:
    """Checks credentials; every comparison of secrets takes constant time."""

    def __init__(self, secrets: Secrets, settings: ServerSettings) -> None:
        if not secrets.jwt_secret:
            raise ValueError("the reference server needs a secret for its clients' tokens")
        self._secrets = secrets
        self._apps = settings.apps
        self._leeway = seconds(settings.token_leeway)
        self._counts_everybody = secrets.dev or settings.count_users_without_glasses
        self._shown: set[str] = set()
        self._told = False

    def claims(self, request: web.Request) -> dict[str, Any]:
        """The claims of the request's bearer token. Raises ClientRefused.

        Its times (`exp`, `nbf`, `iat`) may be off by the leeway; nobody looks at `aud`, `iss`, `sub` and `jti`.
        """
        if (token := bearer_token(request)) is None:
            raise ClientRefused("a bearer token is needed")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secrets.jwt_secret,
                algorithms=["HS256"],
                leeway=self._leeway,
                options=_NOT_OURS,
            )
        except UnicodeError:
            raise ClientRefused("the token is not valid: it is no UTF-8") from None
        except jwt.InvalidTokenError as error:
            raise ClientRefused(f"the token is not valid: {error}") from None
        return claims

    def user(self, request: web.Request) -> str:
        """The user of a glasses connection: the token's `email`. Raises ClientRefused."""
        user = read_id("the token's email", self.claims(request).get("email"))
        self._shown.add(user)
        return user

    def vouches_for(self, user: str) -> bool:
        """Whether there is such a user: glasses have shown the user's token since the start.

        An app may name any user, so who has one app's key could make up users, and evidence of them.
        """
        vouched = self._counts_everybody or user in self._shown
        if not vouched and not self._told:
            self._told = True
            log.warning(
                "a user of whom only an app says that there is such a user is no evidence for gate and brake, "
                "until the user's glasses connect (server.count_users_without_glasses)"
            )
        return vouched

    def check_app(self, package: str, api_key: str) -> None:
        """Raises ClientRefused unless this is the key of that package."""
        # A lone surrogate is not valid UTF-8. A key with a lone surrogate is wrong, and must not raise.
        key = api_key.encode("utf-8", "surrogatepass")
        if self._secrets.dev and hmac.compare_digest(key, b"dev"):
            return
        digest = hashlib.sha256(key).hexdigest()
        app = self._apps.get(package)
        # An unknown package takes as long as a wrong key.
        expected = app.api_key_sha256 if app is not None else "0" * 64
        if not hmac.compare_digest(digest, expected) or app is None:
            raise WrongKeyError("unknown package or wrong API key")
