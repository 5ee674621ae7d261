"""The changes of the flags file by tools: one line of JSON for each change, in a file next to it.

The running shim is another process than the tool that changes the file. The shim finds the change by the
digest of the file that it reads, and copies the change into the ledger.
"""

import getpass
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_LONGEST = 1_000_000
"""Bytes; only the end of the file is searched."""


@dataclass(frozen=True, slots=True)
class Change:
    """`before` and `after` are digests of the file, `at` is a time like 2027-01-31T12:00:00+00:00."""

    at: str
    by: str
    reason: str
    before: str
    after: str


def changes_file(path: Path) -> Path:
    """The file with the changes of a flags file: next to the file itself, not next to a link to it."""
    target = path.resolve()
    return target.with_name(target.name + ".changes.jsonl")


def record_change(path: Path, change: Change) -> None:
    """Add a line; raises OSError. The record belongs to the owner of the flags file, whoever runs the tool."""
    with changes_file(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(change), ensure_ascii=False) + "\n")
        status = path.stat()
        # Only root may give a file away.
        with suppress(PermissionError):
            os.fchown(file.fileno(), status.st_uid, status.st_gid)


def find_change(path: Path, after: str, before: str | None = None) -> Change | None:
    """The last change to the digest `after`, from `before` if that is known.

    None if no tool made the change, or if the file cannot be read.
    """
    try:
        with changes_file(path).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LONGEST))
            lines = file.read().splitlines()
    except OSError:
        return None
    needle = after.encode()
    for line in reversed(lines):
        if needle in line:
            try:
                change = Change(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if change.after == after and before in (None, change.before):
                return change
    return None


def this_user() -> str:
    """The user who runs the tool."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
