"""A running shim that is asked over its API: what the commands with `--url` share."""

import os
from collections.abc import Mapping
from typing import Any

import click

from shim.model import InputError

DEFAULT_URL = "http://127.0.0.1:8080"
_TOKEN, _VIEWER_TOKEN = "SHIM_OPERATOR_TOKEN", "SHIM_VIEWER_TOKEN"
_TIMEOUT, _TIMEOUT_TO_CONNECT = 15, 5
"""Seconds."""

url_option = click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="SHIM_URL",
    help="The address of a running shim's console, like http://host/shim; its token is "
    f"{_TOKEN} in the environment.",
)


class Remote:
    """A shim at an address. The token comes from the environment; to read, the viewers' token will do."""

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

        import aiohttp

        timeout = aiohttp.ClientTimeout(total=_TIMEOUT, connect=_TIMEOUT_TO_CONNECT)
        token = os.environ.get(_TOKEN) or os.environ.get(_VIEWER_TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.url.joinpath(path.removeprefix("/"))

        async def ask() -> tuple[int, Any]:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
                http.request(method, url, **options) as answer,
            ):
                try:
                    return answer.status, await answer.json(content_type=None)
                except ValueError:
                    raise InputError(
                        f"{self.url}: the answer is not JSON; is this address a shim?"
                    ) from None

        try:
            status, body = asyncio.run(ask())
        except TimeoutError:
            raise InputError(f"{self.url} does not answer in time") from None
        except aiohttp.ClientError as error:
            raise InputError(f"{self.url} cannot be reached: {error}") from None
        if status >= 400:
            # The shim's reason (problem+json).
            words = body if isinstance(body, dict) else {}
            reason = words.get("detail") or words.get("message") or words.get("title") or "refused"
            if status == 401 and not token:
                reason += f"; {_TOKEN} is not set"
            raise InputError(f"{self.url}: {reason} (status {status})")
        return body
