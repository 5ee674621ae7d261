"""A running shim that is asked over its API: what the commands with `--url` share."""

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
    """A shim at an address. The operator's token comes from the environment, if it is set."""

    def __init__(self, url: str) -> None:
        # The import takes a tenth of a second; commands that only read a ledger need not wait for it.
        from yarl import URL

        self.url = URL(url)
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise InputError(f"--url {url}: must be like {DEFAULT_URL}")

    def get(self, path: str, **query: Any) -> Any:
        """The answer of the API as plain values. Raises InputError if there is no good answer."""
        filters = {name: str(value) for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=filters)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something; this needs the operator's token."""
        if not os.environ.get(_TOKEN):
            raise InputError(f"{_TOKEN} is not set: every change needs the operator's token")
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        import asyncio

        return asyncio.run(self._ask(method, path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_TIMEOUT, connect=_TIMEOUT_TO_CONNECT)
        token = os.environ.get(_TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
                http.request(
                    method, self.url.joinpath(path.removeprefix("/")), **options
                ) as answer,
            ):
                try:
                    body = await answer.json(content_type=None)
                except ValueError:
                    raise InputError(
                        f"{self.url}: the answer is not JSON; is this address a shim?"
                    ) from None
                if answer.status >= 400:
                    raise InputError(f"{self.url}: {_reason(body, answer.status)}")
                return body
        except TimeoutError:
            raise InputError(f"{self.url} does not answer in time") from None
        except aiohttp.ClientError as error:
            raise InputError(f"{self.url} cannot be reached: {error}") from None


def _reason(body: Any, status: int) -> str:
    """The reason that the shim gives (problem+json)."""
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
        help="The address of a running shim's console, like http://host/shim; its token is "
        f"{_TOKEN} in the environment.",
    )
    return functools.wraps(command)(option(command))
