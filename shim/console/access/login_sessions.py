"""Logins: the sessions behind the cookie. They are kept in memory, so a restart ends them."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from shim.model import SECOND, Duration, Time

LIFETIME: Duration = 12 * 3600 * SECOND
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
    """The open logins, by the digest of the cookie, so that no stored value can open a login."""

    def __init__(self, clock: Callable[[], Time]) -> None:
        self._clock = clock
        self._logins: OrderedDict[bytes, Login] = OrderedDict()

    def open(self, level: AccessLevel) -> tuple[str, Login]:
        """A new login, with the value of its cookie; if there are too many logins, the oldest ends."""
        cookie = secrets.token_urlsafe(32)
        login = Login(
            level, secrets.token_hex(3), secrets.token_urlsafe(32), self._clock() + LIFETIME
        )
        self._logins[_digest(cookie)] = login
        if len(self._logins) > _MOST:
            self._logins.popitem(last=False)
        return cookie, login

    def find(self, cookie: str) -> Login | None:
        login = self._logins.get(_digest(cookie))
        if login is None or login.ends > self._clock():
            return login
        self.end(cookie)
        return None

    def end(self, cookie: str) -> None:
        self._logins.pop(_digest(cookie), None)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
