"""The login page, which gives a cookie for a token."""

from urllib.parse import urlsplit

from aiohttp import web

from shim.console.access.access import COOKIE, CSRF_FIELD, Access, set_cookie
from shim.console.api.bodies import read_form
from shim.console.api.problems import ApiError
from shim.console.base_path import base_of
from shim.console.pages.html import Html, see_other


class LoginPages:
    def __init__(self, html: Html, access: Access) -> None:
        self._html = html
        self._access = access

    async def show(self, request: web.Request) -> web.Response:
        following = _own_path(request, request.query.get("next", ""))
        return self._html.page(request, None, "login.html", following=following, error=None)

    async def log_in(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        following = _own_path(request, form.get("next", ""))
        try:
            cookie, _ = self._access.log_in(request, form.get("token", "").strip())
        except ApiError as error:
            response = self._html.page(
                request,
                None,
                "login.html",
                error.status.value,
                following=following,
                error=error,
            )
            response.headers.update(error.headers)
            return response
        response = see_other(following)
        set_cookie(request, response, cookie)
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        self._access.log_out(request, form.get(CSRF_FIELD, ""))
        base = base_of(request)
        response = see_other(f"{base}/")
        response.del_cookie(COOKIE, path=base or "/", httponly=True, samesite="Lax")
        return response


def _own_path(request: web.Request, target: str) -> str:
    """A path of this console; for any other target, the overview."""
    home = f"{base_of(request)}/"
    own = target.startswith(home) and not target.startswith(("//", "/\\"))
    printable = target.isascii() and target.isprintable()
    upwards = ".." in urlsplit(target).path.split("/")
    return target if own and printable and not upwards else home
