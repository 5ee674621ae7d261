"""The URL of the ledger: `sqlite:///shim.db`, or with four slashes a path from the root."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

SQLITE = "sqlite:///"
"""How the URL of a SQLite file begins."""

_PRIVATE = re.compile(r"(?<=://).*@|\?.*", re.DOTALL)
"""What a URL says of who connects, and its options: a password can be in both."""


@dataclass(frozen=True, slots=True)
class LedgerUrl:
    """Where the evidence is kept; the scheme says in which kind of store.

    Neither `str()` nor `repr()` shows a password. Whoever opens the store takes `url`.
    """

    url: str = field(repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The URL of a SQLite file."""
        return cls(f"{SQLITE}{path}")

    @property
    def scheme(self) -> str:
        """What stands before `://`; the empty text if that is missing."""
        scheme, separator, _ = self.url.partition("://")
        return scheme if separator else ""

    @property
    def path(self) -> Path:
        """The file of a SQLite URL, relative to the working directory unless it begins with `/`."""
        return Path(self.url.removeprefix(SQLITE))

    def __str__(self) -> str:
        return self.url if self.url.startswith(SQLITE) else _PRIVATE.sub("", self.url)
