"""A file of users: one user id in each line."""

import sys
from collections.abc import Iterator
from pathlib import Path

from shim.model import InputError, Problem


def read_users(path: Path) -> Iterator[str]:
    """The user ids in a file, or in standard input for `-`; empty lines are left out.

    An id is the whole line, with its spaces. Raises InputError.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                user = line.rstrip(b"\r\n")
                if user:
                    yield _decode(user, name, number)
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", name)) from None


def _decode(user: bytes, name: str, number: int) -> str:
    try:
        return user.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte 0x{user[error.start]:02x}"
        raise InputError(Problem(reason, name, number)) from None
