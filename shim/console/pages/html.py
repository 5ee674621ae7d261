"""Templates, static files, and the headers that every page has."""

import asyncio
import hashlib
import mimetypes
from collections.abc import Mapping
from enum import Enum
from functools import partial
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from aiohttp import web
from jinja2.bccache import Bucket

from shim.console.access.access import CSRF_FIELD, Visitor
from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.responses import ApiError, not_found
from shim.console.base_path import base_of, path_of
from shim.console.operations import Operations
from shim.console.pages import charts
from shim.console.pages import formatting as words
from shim.ledger.completeness import describe_completeness
from shim.model import Kind, Return, Role, Stage, VerdictKind, VerdictName, seconds
from shim.model.ledger_url import POSTGRES

_SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Without any referrer, browsers would send no origin with forms, and the origin is checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE = {**_SECURITY, "Cache-Control": "no-store"}
_STATIC = {**_SECURITY, "Cache-Control": "public, max-age=31536000, immutable"}


_WORDS: tuple[type[Enum], ...] = (Kind, Return, Role, Stage, VerdictKind, VerdictName)
"""What filters choose from; a template names the type."""


class _CompiledTemplates(jinja2.BytecodeCache):
    """Keeps compiled templates for the consoles that the same process makes later."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _CompiledTemplates()


class Html:
    """Renders pages for a visitor."""

    def __init__(self, operations: Operations, pseudonymizer: Pseudonymizer) -> None:
        self._operations = operations
        self._pseudonymizer = pseudonymizer
        self._files = {
            file.name: (mimetypes.guess_type(file.name)[0] or "text/plain", file.read_bytes())
            for file in (resources.files("shim.console") / "static").iterdir()
            if file.is_file()
        }
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("shim.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_COMPILED,
        )
        self._templates.globals |= {
            "charts": charts,
            "words": words,
            "seconds": seconds,
            "completeness": describe_completeness,
            "query": _query,
            # One segment of a path, whatever characters are in the name.
            "segment": partial(quote, safe=""),
            "static": self._static_url,
            **{kind.__name__: [str(word) for word in kind] for kind in _WORDS},
            "stages": list(Stage),
            "census": operations.shim.census,
            "csrf_field": CSRF_FIELD,
            "settings": operations.shim.settings,
            "in_fleet": operations.shim.settings.ledger.scheme in POSTGRES,
            "trace_url": operations.trace_url,
        }
        self._compiling: asyncio.Future[None] | None = None

    async def compile_templates(self) -> None:
        """Compile all templates, the first time: in a thread, since the event loop may not wait that long.

        A process whose pages nobody opens starts faster, and never compiles them.
        """
        if self._compiling is None:
            self._compiling = asyncio.ensure_future(asyncio.to_thread(self._compile))
        # Whoever asked first may leave: others wait for the same.
        await asyncio.shield(self._compiling)

    def _compile(self) -> None:
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    def page(
        self,
        request: web.Request,
        visitor: Visitor | None,
        template: str,
        status: int = 200,
        **facts: Any,
    ) -> web.Response:
        """A whole page; `facts` are the values that its template uses."""
        text = self.part(request, visitor, template, **facts)
        return web.Response(text=text, status=status, content_type="text/html", headers=_PAGE)

    def part(
        self, request: web.Request, visitor: Visitor | None, template: str, **facts: Any
    ) -> str:
        """The text of a page, or of a part for its live update."""
        names = None if visitor is None else Names(self._pseudonymizer, visitor)
        return self._templates.get_template(template).render(
            base=base_of(request),
            path=path_of(request),
            visitor=visitor,
            status=self._operations.report(visitor),
            **{"names": names, **facts},
        )

    def refused(
        self,
        request: web.Request,
        error: ApiError,
        visitor: Visitor | None = None,
        template: str = "refused.html",
        **facts: Any,
    ) -> web.Response:
        """A page that shows the error, with its status and headers."""
        response = self.page(request, visitor, template, error.status.value, error=error, **facts)
        response.headers.update(error.headers)
        return response

    async def static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise not_found("There is no such file.")
        content_type, body = self._files[name]
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_STATIC)

    def _static_url(self, name: str) -> str:
        digest = hashlib.sha256(self._files[name][1]).hexdigest()[:12]
        return f"/static/{name}?v={digest}"


def see_other(location: str) -> web.Response:
    """303: the browser goes on with a GET of this address (RFC 9110 section 15.4.4)."""
    return web.Response(status=303, headers={**_PAGE, "Location": location})


def _query(path: str, **filters: Any) -> str:
    """A link to rows: those filters that are there."""
    asked = {name: value for name, value in filters.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path
