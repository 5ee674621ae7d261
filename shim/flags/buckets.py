"""Buckets: the one number of a user that every percentage is compared with (R17: docs/design.md#r17).

The hash is part of the meaning of a flags file: another hash would move users between stages. Therefore
the file names the hash, and another hash has another name.

Rules: docs/design.md#r18.
"""

from decimal import Decimal
from hashlib import blake2b

ALGORITHM = "blake2b-v1"
BUCKETS = 100_000
"""Buckets run from 0 to BUCKETS - 1; one of them is a thousandth of a percent."""

_BUCKETS_PER_PERCENT = BUCKETS // 100


class Bucketing:
    """The buckets that one salt gives."""

    __slots__ = ("_prefix",)

    def __init__(self, salt: str) -> None:
        self._prefix = blake2b(_bytes(salt) + b"\x00", digest_size=8)

    def __call__(self, user: str) -> int:
        """The user's bucket; the user counts byte for byte (no case folding, no normalisation)."""
        digest = self._prefix.copy()
        digest.update(_bytes(user))
        return int.from_bytes(digest.digest(), "big") % BUCKETS


def bucket(salt: str, user: str) -> int:
    """The bucket of one user; for many users of one salt, keep a `Bucketing`."""
    return Bucketing(salt)(user)


def holdback_salt(salt: str) -> str:
    """The holdback's own salt, so that the holdback takes the same share of every stage (R18)."""
    return f"{salt}:holdback"


def buckets_of(percent: Decimal | int) -> int:
    """How many buckets a width takes, exactly.

    Raises ValueError for a width below 0, above 100 or finer than a bucket.
    """
    if percent < 0:
        raise ValueError(f"{percent} % is less than 0")
    if percent > 100:
        raise ValueError(f"{percent} % is more than 100")
    width = percent * _BUCKETS_PER_PERCENT
    if width != int(width):
        raise ValueError(f"{percent} % is finer than 0.001, which is one bucket")
    return int(width)


def format_percent(buckets: int) -> str:
    """Format a number of buckets as a percentage, such as `12.5 %`."""
    return f"{buckets / _BUCKETS_PER_PERCENT:g} %"


def _bytes(text: str) -> bytes:
    # A lone surrogate is no valid UTF-8, but a user id must not be able to make evaluation raise.
    return text.encode("utf-8", "surrogatepass")
