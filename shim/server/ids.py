"""What clients call themselves: the ids that are taken, and how those stand in the log that are not."""

import re

from shim.server.refusals import ClientRefused

LONGEST = 256
"""Characters; an e-mail address has 254 at most."""

_LONGEST_SHOWN = 80

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters and line ends would forge lines of the log; lone surrogates are no valid UTF-8, and
make whoever stores or sends them fail."""


def read_id(name: str, value: object) -> str:
    """A user, session or package as a client gave it. Raises Refused for what cannot be one."""
    if not isinstance(value, str) or not value.strip():
        raise ClientRefused(f"{name} is missing")
    if len(value) > LONGEST:
        raise ClientRefused(f"{name} is longer than {LONGEST} characters")
    if _UNFIT.search(value):
        raise ClientRefused(f"{name} has characters that no id may have")
    return value


def shown(value: object) -> str:
    """What a client claims to be, for the log: in one line, and no long one."""
    if not isinstance(value, str) or not value:
        return "unknown"
    cut = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", cut)
