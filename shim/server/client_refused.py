"""Clients that are not served, and the ids that clients give themselves."""

import re

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013

LONGEST = 256
"""Characters; an e-mail address has 254 at most."""

_LONGEST_SHOWN = 80

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters and line ends would forge lines of the log; lone surrogates are not valid
UTF-8, so they cannot be stored or sent."""


class ClientRefused(Exception):
    """This client is not served; the client may see the reason, and `code` closes its WebSocket."""

    def __init__(self, reason: str, code: int = POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


def read_id(name: str, value: object) -> str:
    """A user, session or package as a client gave it. Raises ClientRefused for an impossible id."""
    if not isinstance(value, str) or not value.strip():
        raise ClientRefused(f"{name} is missing")
    if len(value) > LONGEST:
        raise ClientRefused(f"{name} is longer than {LONGEST} characters")
    if _UNFIT.search(value):
        raise ClientRefused(f"{name} has characters that no id may have")
    return value


def describe_claim(value: object) -> str:
    """The id that a client claims, for the log: in one short line."""
    if not isinstance(value, str) or not value:
        return "unknown"
    cut = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", cut)
