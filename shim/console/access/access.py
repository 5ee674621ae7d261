"""Which visitor asks, and what the visitor may do: by a token, or by a login's cookie.

| a request                                         | may read       | may change              |
|---------------------------------------------------|----------------|-------------------------|
| with the operator's token, as a bearer            | everything     | yes                     |
| with an operator's cookie                         | everything     | yes, with its CSRF token |
| with the viewers' token or cookie                 | pseudonyms     | no                      |
| anybody else                                      | no             | no                      |

With `console.open_on_loopback` everybody on this machine is a viewer.
"""

import hmac
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from shim.console.access.login_sessions import LIFETIME, AccessLevel, Login, Logins
from shim.console.access.places import Places
from shim.console.access.throttle import Throttle
from shim.console.access.trusted_proxies import TrustedProxies, read_address
from shim.console.api.responses import ApiError
from shim.console.base_path import base_of
from shim.model import Time, seconds
from shim.runtime.secrets import Secrets

log = logging.getLogger(__name__)

COOKIE = "shim_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
_LOOPBACK_NAME = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.ASCII | re.IGNORECASE)
_LOOPBACK = ("127.0.0.1", "::1")
"""Not all of 127.0.0.0/8: the proxy of a service mesh passes everybody's requests on from 127.0.0.6."""
_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-", "x-real-ip", "cf-", "true-client-ip")
"""How the names of headers begin that proxies add."""


_PLACES = {AccessLevel.VIEWER: 8, AccessLevel.OPERATOR: 32}
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person or program that asks. `name` is for the log; `login` is set for visitors with a cookie."""

    level: AccessLevel
    name: str
    login: Login | None = None

    @property
    def is_operator(self) -> bool:
        return self.level is AccessLevel.OPERATOR


class Access:
    """Finds the visitor of a request, or raises ApiError (401, 403, 429)."""

    def __init__(
        self,
        secrets: Secrets,
        logins: Logins,
        proxies: TrustedProxies,
        clock: Callable[[], Time],
        *,
        open_on_loopback: bool = False,
    ) -> None:
        self._tokens = [
            (level, token.encode())
            for level, token in (
                (AccessLevel.OPERATOR, secrets.operator_token),
                (AccessLevel.VIEWER, secrets.viewer_token),
            )
            if token
        ]
        self._logins = logins
        self._proxies = proxies
        self._throttle = Throttle(clock)
        self._open_on_loopback = open_on_loopback
        self.places = Places(
            _PLACES, dict.fromkeys(AccessLevel, _PATIENCE), "too many requests at once"
        )
        """For requests whose answer takes work, by what their visitors may do."""

    def reader(self, request: web.Request) -> Visitor:
        """The visitor, who may read. Raises ApiError."""
        if visitor := self._find(request):
            return visitor
        if self._open_on_loopback and _is_local(request):
            return Visitor(AccessLevel.VIEWER, f"nobody from {request.remote}")
        raise _unauthorized("a token or a login is needed here")

    def operator(self, request: web.Request, csrf: str = "") -> Visitor:
        """The visitor, who may change something; `csrf` is what the form or script sent. Raises ApiError."""
        visitor = self._find(request)
        if visitor is None:
            raise _unauthorized("every change needs the operator's token or a login")
        if not visitor.is_operator:
            raise ApiError(HTTPStatus.FORBIDDEN, "only operators may change anything")
        if visitor.login is not None:
            _check_form(request, visitor.login, csrf)
        return visitor

    def log_in(self, request: web.Request, token: str) -> str:
        """Open a login for a visitor with a token; answers its cookie. Raises ApiError."""
        check_origin(request)
        return self._open(request, self._check(request, token))

    def log_in_once(self, request: web.Request, code: str) -> str | None:
        """Open an operator's login for the first request with this code; answers its cookie.

        None: the code cannot be used any more, and need not be, because the request has the cookie of an
        open login. Raises ApiError.
        """
        if self._logins.use_code(code):
            return self._open(request, AccessLevel.OPERATOR)
        if self._login(request) is not None:
            return None
        raise self._failure(request, "login link", "this link was used already, or is too old")

    def log_out(self, request: web.Request, csrf: str) -> None:
        """End the login of the request's cookie. Raises ApiError (403) for a form that is not ours."""
        if login := self._login(request):
            _check_form(request, login, csrf)
            self._logins.end(request.cookies[COOKIE])
            log.info("audit: %s login %s ended", login.level, login.name)

    def set_cookie(self, request: web.Request, response: web.StreamResponse, cookie: str) -> None:
        """Over TLS, a trusted proxy's too, the browser sends it back over TLS only."""
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=int(seconds(LIFETIME)),
            path=base_of(request) or "/",
            httponly=True,
            samesite="Lax",
            secure=self._proxies.is_secure(request),
        )

    def _find(self, request: web.Request) -> Visitor | None:
        """The visitor by token or login. Raises ApiError for a wrong token."""
        address = self._proxies.client(request)
        if token := bearer_token(request):
            level = self._check(request, token)
            return Visitor(level, f"{level} token from {address}")
        if login := self._login(request):
            return Visitor(login.level, f"{login.level} login {login.name} from {address}", login)
        return None

    def _login(self, request: web.Request) -> Login | None:
        cookie = request.cookies.get(COOKIE)
        return self._logins.find(cookie) if cookie else None

    def _open(self, request: web.Request, level: AccessLevel) -> str:
        cookie, login = self._logins.open(level)
        address = self._proxies.client(request)
        log.info("audit: %s login %s opened from %s", level, login.name, address)
        return cookie

    def _check(self, request: web.Request, token: str) -> AccessLevel:
        """What this token permits; the right token does, whatever was tried before. Raises ApiError."""
        given = token.encode("utf-8", "replace")
        right = [level for level, known in self._tokens if hmac.compare_digest(given, known)]
        if not right:
            raise self._failure(request, "token", "the token is wrong")
        return right[0]

    def _failure(self, request: web.Request, what: str, detail: str) -> ApiError:
        """The error for a wrong `what`; after several failures an address is told to wait."""
        address = self._proxies.client(request)
        if wait := self._throttle.wait(address):
            after = str(int(seconds(wait)) + 1)
            return ApiError(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", {"Retry-After": after}
            )
        self._throttle.failed(address)
        log.warning("audit: wrong %s from %s", what, address)
        return _unauthorized(detail)


def bearer_token(request: web.Request) -> str | None:
    """The token of the header Authorization; None without one. Any other scheme is as if absent."""
    for header in request.headers.getall("Authorization", []):
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    return None


def _check_form(request: web.Request, login: Login, csrf: str) -> None:
    if not hmac.compare_digest(csrf.encode("utf-8", "replace"), login.csrf.encode()):
        raise ApiError(HTTPStatus.FORBIDDEN, "the CSRF token is missing or wrong")
    check_origin(request)


def check_origin(request: web.Request) -> None:
    """A browser says from which page a form comes: it must be a page of the console. Raises ApiError."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise ApiError(HTTPStatus.FORBIDDEN, "this form came from another site")


def _unauthorized(detail: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def _is_local(request: web.Request) -> bool:
    """From this machine, to its own name: another Host may be a page that rebinds its DNS name."""
    if any(name.lower().startswith(_PROXY_HEADERS) for name in request.headers):
        return False
    named = _LOOPBACK_NAME.fullmatch(request.host) is not None
    return named and str(read_address(request.remote)) in _LOOPBACK
