"""Logins: the sessions behind the cookie. They are kept in memory, so a restart ends them."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from shim.model import SECOND, Duration, Time

LIFETIME: Duration = 12 * 3600 * SECOND
CODE_LIFETIME: Duration = 3600 * SECOND
_MOST = 1000


class AccessLevel(IntEnum):
    """What a visitor may do: a viewer sees no user's name, an operator sees and changes everything."""

    VIEWER = 1
    OPERATOR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Login:
    """`name` identifies the login in the log; `csrf` proves that a form came from the console."""

    level: AccessLevel
    name: str
    csrf: str
    ends: Time


class Logins:
    """The open logins, by the digest of the cookie, so that no stored value can open a login.

    Viewers' logins are kept apart from operators', so that however many viewers log in, no operator's
    login ends.
    """

    def __init__(self, clock: Callable[[], Time]) -> None:
        self._clock = clock
        self._logins: dict[AccessLevel, OrderedDict[bytes, Login]] = {
            level: OrderedDict() for level in AccessLevel
        }
        # The ends of the codes that nobody has used yet, by their digests.
        self._codes: dict[bytes, Time] = {}

    def open(self, level: AccessLevel) -> tuple[str, Login]:
        """A new login, with the value of its cookie; if there are too many of this level, the oldest ends."""
        cookie = secrets.token_urlsafe(32)
        login = Login(
            level, secrets.token_hex(3), secrets.token_urlsafe(32), self._clock() + LIFETIME
        )
        logins = self._logins[level]
        logins[_digest(cookie)] = login
        if len(logins) > _MOST:
            logins.popitem(last=False)
        return cookie, login

    def find(self, cookie: str) -> Login | None:
        digest = _digest(cookie)
        for logins in self._logins.values():
            login = logins.get(digest)
            if login is not None and login.ends > self._clock():
                return login
        self.end(cookie)
        return None

    def end(self, cookie: str) -> None:
        for logins in self._logins.values():
            logins.pop(_digest(cookie), None)

    def issue_code(self) -> str:
        """A code for one operator's login, which has to be used within `CODE_LIFETIME`."""
        code = secrets.token_urlsafe(16)
        self._codes[_digest(code)] = self._clock() + CODE_LIFETIME
        return code

    def use_code(self, code: str) -> bool:
        """Whether this is a code that was not used yet; from now on the code is used."""
        ends = self._codes.pop(_digest(code), None)
        return ends is not None and ends > self._clock()


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
