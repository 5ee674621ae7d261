"""A running shim that is asked over its API: what the commands with `--url` share."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import msgspec

from shim.ledger.completeness import Completeness
from shim.model import InputError
from shim.model.visible_text import is_visible
from shim.runtime.secrets import OPERATOR_TOKEN, VIEWER_TOKEN, read_secret

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
_TIMEOUT, _TIMEOUT_TO_CONNECT = 15, 5
"""Seconds."""

PATIENCE = 90.0
"""Seconds for an answer that goes through the ledger, which the shim does for a minute at most."""

_LONGEST = 100_000_000
"""Bytes of an answer."""

_CHUNK = 1 << 16
_STRANGE = (msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading an answer raises if the answer is not one of the API."""

url_option = click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="SHIM_URL",
    help="The address of a running shim's console, like http://host/shim; its token is "
    f"{OPERATOR_TOKEN} in the environment.",
)

instead_option = click.option(
    "--url", help="Ask a running shim at this address, instead of reading a ledger."
)


def with_its_record(
    read: Callable[[Any], T],
) -> Callable[[Any], tuple[T, Completeness | None]]:
    """What `read` makes of an answer of the API, and how far the record of the fleet goes."""
    return lambda answer: (read(answer), read_record(answer))


def read_record(answer: Mapping[str, Any]) -> Completeness | None:
    """How far the record of the fleet goes, as an answer of the API says; an older shim does not say."""
    record = answer.get("record")
    return None if record is None else Completeness.from_dict(record)


class Remote:
    """A shim at an address. The token comes from the environment; to read, the viewers' token will do."""

    def __init__(self, url: str) -> None:
        # The import takes a tenth of a second; commands that only read a ledger need not wait for it.
        from yarl import URL

        try:
            self.url = URL(url)
            is_web = self.url.scheme in ("http", "https") and bool(self.url.host and self.url.port)
        except ValueError:
            is_web = False
        # The messages quote no address with a password in it.
        if is_web and (self.url.user or self.url.password):
            raise InputError(
                "--url: write the address without a user and a password; "
                f"the token is {OPERATOR_TOKEN} in the environment"
            )
        if not is_web:
            quoted = "" if "@" in url else f" {url}"
            raise InputError(f"--url{quoted}: must be like {DEFAULT_URL}")
        if self.url.query_string or self.url.fragment:
            raise InputError(
                f"--url {url}: must end with the path of the console, like {DEFAULT_URL}/shim"
            )
        operator = read_secret(OPERATOR_TOKEN)
        self._may_change = bool(operator)
        self._token = operator or read_secret(VIEWER_TOKEN)
        if not is_visible(self._token):
            name = OPERATOR_TOKEN if operator else VIEWER_TOKEN
            raise InputError(f"{name}: a token is one line of visible characters")

    def get(
        self, path: str, read: Callable[[Any], T], *, patience: float = _TIMEOUT, **query: Any
    ) -> T:
        """What `read` makes of the answer in plain values, which may take `patience` seconds.

        Raises InputError if there is no good answer.
        """
        filters = {name: str(value) for name, value in query.items() if value is not None}
        return self._answer("GET", path, read, params=filters, patience=patience)

    def post(
        self,
        path: str,
        read: Callable[[Any], T],
        body: Mapping[str, Any],
        *,
        patience: float = _TIMEOUT,
    ) -> T:
        """Change something; this needs the operator's token."""
        if not self._may_change:
            raise InputError(
                f"{OPERATOR_TOKEN} is not set: every change needs the operator's token"
            )
        return self._answer("POST", path, read, json=body, patience=patience)

    def _answer(self, method: str, path: str, read: Callable[[Any], T], **options: Any) -> T:
        status, content = self._ask(method, path, **options)
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            raise InputError(
                f"{self.url}: the answer (status {status}) is not JSON; is this address a shim?"
            ) from None
        if status >= 400:
            # The shim's reason (problem+json).
            words = body if isinstance(body, dict) else {}
            reason = words.get("detail") or words.get("message") or words.get("title") or "refused"
            if status == 401 and not self._token:
                reason += f"; {OPERATOR_TOKEN} is not set"
            raise InputError(f"{self.url}: {reason} (status {status})")
        try:
            return read(body)
        except _STRANGE as error:
            raise InputError(
                f"{self.url}: this is not the answer of a shim of this version ({error})"
            ) from None

    def _ask(
        self, method: str, path: str, *, patience: float = _TIMEOUT, **options: Any
    ) -> tuple[int, bytes]:
        import asyncio

        import aiohttp

        timeout = aiohttp.ClientTimeout(total=patience, connect=_TIMEOUT_TO_CONNECT)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        url = self.url.joinpath(path.removeprefix("/"))

        async def ask() -> tuple[int, bytes]:
            content = bytearray()
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
                http.request(method, url, **options) as answer,
            ):
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    content += chunk
                    if len(content) > _LONGEST:
                        raise InputError(f"{self.url}: the answer is longer than {_LONGEST} bytes")
                return answer.status, bytes(content)

        try:
            return asyncio.run(ask())
        except TimeoutError:
            raise InputError(f"{self.url} does not answer in time") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise InputError(f"{self.url} cannot be reached: {error}") from None
