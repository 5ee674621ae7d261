"""A running shim, asked over its API: what the commands with `--url` share."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import click

from shim.model import InputError

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URL = "http://127.0.0.1:8080"
_TOKEN = "SHIM_OPERATOR_TOKEN"
_TIMEOUT, _TIMEOUT_TO_CONNECT = 15, 5
"""Seconds."""


class Remote:
    """A shim at an address. The operator's token comes from the environment, if it is there."""

    def __init__(self, url: str) -> None:
        # What asks takes a tenth of a second to import, which commands on the ledger alone need not wait.
        from yarl import URL

        self.url = URL(url)
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise InputError(f"--url {url}: must be like {DEFAULT_URL}")

    def get(self, path: str, **query: Any) -> Any:
        """The answer of the API as plain values. Raises InputError for whatever is no answer."""
        filters = {name: str(value) for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=filters)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; that wants the operator's token."""
        if not os.environ.get(_TOKEN):
            raise InputError(f"{_TOKEN} is not set: every change wants the operator's token")
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        import asyncio

        return asyncio.run(self._ask(method, path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        import aiohttp
        from yarl import URL

        timeout = aiohttp.ClientTimeout(total=_TIMEOUT, connect=_TIMEOUT_TO_CONNECT)
        token = os.environ.get(_TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
                http.request(method, self.url.join(URL(path)), **options) as answer,
            ):
                try:
                    body = await answer.json(content_type=None)
                except ValueError:
                    raise InputError(f"{self.url} answered no JSON: is it a shim?") from None
                if answer.status >= 400:
                    raise InputError(f"{self.url}: {_reason(body, answer.status)}")
                return body
        except TimeoutError:
            raise InputError(f"{self.url} does not answer in time") from None
        except aiohttp.ClientError as error:
            raise InputError(f"{self.url} cannot be asked: {error}") from None


def _reason(body: Any, status: int) -> str:
    """What the shim objects to, in its own words (problem+json)."""
    words = body if isinstance(body, dict) else {}
    reason = words.get("detail") or words.get("message") or words.get("title") or "refused"
    return f"{reason} (status {status})"


def url_option(command: Callable[P, R]) -> Callable[P, R]:
    """`--url` of a running shim."""
    option = click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        envvar="SHIM_URL",
        help=f"A running shim; {_TOKEN} in the environment where it wants one.",
    )
    return functools.wraps(command)(option(command))
