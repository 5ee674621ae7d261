"""The URL of the ledger: `sqlite:///shim.db`, or with four slashes a path from the root; for a fleet
`postgresql://…`, as libpq has it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

SQLITE = "sqlite:///"
"""How the URL of a SQLite file begins."""

_PRIVATE = re.compile(r"(?<=://).*@|\?.*", re.DOTALL)
"""What a URL says of who connects, and its options: a password can be in both."""


POSTGRES = ("postgresql", "postgres")
"""The schemes of a fleet's store."""

_WRITTEN = "postgresql://user:password@host:port/database?sslmode=require"
_USER = r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?"
_HOST = r"(?:\[[0-9A-Fa-f:.%]*\]|[^@:/?#\s,\[\]]*)(?::\d*)?"
_FLEET = re.compile(
    rf"postgres(?:ql)?://{_USER}{_HOST}(?:,{_HOST})*(?:/(?P<database>[^@/?#\s]*))?(?:\?(?P<options>[^#\s]*))?"
)
_SECRET_OPTION = re.compile(r"(?:^|&)(?:ssl)?password=([^&]*)")


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

    @property
    def fault(self) -> str | None:
        """What is wrong with it, without any part of a password; None: nothing that can be seen.

        libpq would take what follows an `@` or `/` within a password for a host, and name it in errors.
        """
        if self.scheme not in POSTGRES:
            return (
                None
                if self.url.startswith(SQLITE) and self.url != SQLITE
                else f"must be like {SQLITE}path/file.db, or postgresql://host/database"
            )
        parts = _FLEET.fullmatch(self.url)
        escaped = not re.search("%(?![0-9A-Fa-f]{2})", self.url)
        if parts and escaped and all("=" in o for o in (parts["options"] or "a=").split("&")):
            return None
        return (
            f"must be like {_WRITTEN}; in a user's name and a password special characters are "
            "written with their code: `@` is %40, `/` is %2F, `%` is %25"
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The passwords in it, as they are written there."""
        parts = _FLEET.fullmatch(self.url)
        if parts is None:
            return ()
        found = [parts["password"], *_SECRET_OPTION.findall(parts["options"] or "")]
        return tuple(filter(None, found))

    def __str__(self) -> str:
        return self.url if self.url.startswith(SQLITE) else _PRIVATE.sub("", self.url)
