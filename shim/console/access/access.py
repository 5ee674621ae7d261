"""Which visitor asks, and what the visitor may do: a token, a login's cookie, or loopback.

| a request                                         | may read       | may change              |
|---------------------------------------------------|----------------|-------------------------|
| with the operator's token, as a bearer            | everything     | yes                     |
| with an operator's cookie                         | everything     | yes, with its CSRF token |
| with the viewers' token or cookie                 | pseudonyms     | no                      |
| nobody, from loopback, naming this host, unproxied | pseudonyms     | no                      |
| anybody else                                      | no             | no                      |
"""

import hmac
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from shim.console.access.login_sessions import LIFETIME, AccessLevel, Login, Logins
from shim.console.access.throttle import Throttle
from shim.console.api.responses import ApiError
from shim.console.base_path import HEADER, base_of
from shim.model import Time, seconds
from shim.runtime.secrets import Secrets

log = logging.getLogger(__name__)

COOKIE = "shim_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", HEADER, "X-Real-IP")
"""Behind a proxy on this machine every request comes from loopback."""


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

    def __init__(self, secrets: Secrets, clock: Callable[[], Time]) -> None:
        self._tokens = [(AccessLevel.OPERATOR, secrets.operator_token.encode())]
        if secrets.viewer_token:
            self._tokens.append((AccessLevel.VIEWER, secrets.viewer_token.encode()))
        self._logins = Logins(clock)
        self._throttle = Throttle(clock)

    def reader(self, request: web.Request) -> Visitor:
        """The visitor, who may read. Raises ApiError."""
        if "Authorization" in request.headers:
            scheme, _, token = request.headers["Authorization"].partition(" ")
            level = self._check(request, token.strip() if scheme.lower() == "bearer" else "")
            return Visitor(level, f"{level} token from {request.remote}")
        if login := self._login(request):
            name = f"{login.level} login {login.name} from {request.remote}"
            return Visitor(login.level, name, login)
        if _is_local(request):
            return Visitor(AccessLevel.VIEWER, f"nobody from {request.remote}")
        raise _unauthorized("a token or a login is needed here")

    def operator(self, request: web.Request, csrf: str = "") -> Visitor:
        """The visitor, who may change something; `csrf` is what the form or script sent. Raises ApiError."""
        visitor = self.reader(request)
        if visitor.login is None and "Authorization" not in request.headers:
            raise _unauthorized("every change needs the operator's token or a login")
        if not visitor.is_operator:
            raise ApiError(HTTPStatus.FORBIDDEN, "only operators may change anything")
        if visitor.login is not None:
            _check_form(request, visitor.login, csrf)
        return visitor

    def log_in(self, request: web.Request, token: str) -> tuple[str, Login]:
        """Open a login for a visitor with a token; answers its cookie, too. Raises ApiError."""
        check_origin(request)
        cookie, login = self._logins.open(self._check(request, token))
        log.info("audit: %s login %s opened from %s", login.level, login.name, request.remote)
        return cookie, login

    def log_out(self, request: web.Request, csrf: str) -> None:
        """End the login of the request's cookie. Raises ApiError (403) for a form that is not ours."""
        if login := self._login(request):
            _check_form(request, login, csrf)
            self._logins.end(request.cookies[COOKIE])
            log.info("audit: %s login %s ended", login.level, login.name)

    def _login(self, request: web.Request) -> Login | None:
        cookie = request.cookies.get(COOKIE)
        return self._logins.find(cookie) if cookie else None

    def _check(self, request: web.Request, token: str) -> AccessLevel:
        """The clearance of the token. While an address is throttled, its tokens are not looked at."""
        address = request.remote
        if wait := self._throttle.wait(address):
            after = str(int(seconds(wait)) + 1)
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", {"Retry-After": after}
            )
        given = token.encode("utf-8", "replace")
        right = [c for c, expected in self._tokens if hmac.compare_digest(given, expected)]
        if not right:
            self._throttle.failed(address)
            log.warning("audit: wrong token from %s", address)
            raise _unauthorized("the token is wrong")
        return right[0]


def set_cookie(request: web.Request, response: web.StreamResponse, cookie: str) -> None:
    """Over TLS, a proxy's too, the browser sends it back over TLS only."""
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(seconds(LIFETIME)),
        path=base_of(request) or "/",
        httponly=True,
        samesite="Lax",
        secure=secure,
    )


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
    if any(header in request.headers for header in _PROXY_HEADERS):
        return False
    host = request.host
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()
    try:
        return name in _LOOPBACK_NAMES and ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
