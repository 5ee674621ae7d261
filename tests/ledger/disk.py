"""A disk that counts and fails: between SQLite and the operating system, whatever machine it runs on.

The default VFS of the SQLite library that Python uses is told to open files through us; of every file
that it opens, two methods become ours. So a test sees what SQLite really asks of the system, and can
answer as a full or broken disk does. Nothing is mounted, and no privilege is needed.
"""

import _sqlite3
import ctypes
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import skip

_WAL = 0x80000
"""SQLITE_OPEN_WAL: the file is a write-ahead log."""

_METHODS, _X_WRITE, _X_SYNC = 19, 3, 5
"""Pointers in `sqlite3_io_methods` (its version number counts as one), and two places among them."""

_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,  # the name, of which SQLite keeps the place in memory
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_int),
)
_WRITE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)

_kept: list[Any] = []
"""What SQLite may still point to after a test."""


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
    )


class Disk:
    """`syncs` of write-ahead logs so far; `error` is SQLite's code for every write and sync, or 0."""

    def __init__(self) -> None:
        self.syncs = 0
        self.error = 0


@contextmanager
def disk() -> Iterator[Disk]:
    """Every file that SQLite opens meanwhile is on this disk."""
    vfs = _default_vfs()
    system_open = _OPEN(vfs.open)
    disk = Disk()

    def open_file(vfs_: int, name: int, file: int, flags: int, out: Any) -> int:
        answer: int = system_open(vfs_, name, file, flags, out)
        methods = ctypes.c_void_p.from_address(file)
        if methods.value:
            methods.value = _methods(disk, methods.value, bool(flags & _WAL))
        return answer

    ours = _OPEN(open_file)
    _kept.append(ours)
    before = vfs.open
    vfs.open = ctypes.cast(ours, ctypes.c_void_p).value
    try:
        yield disk
    finally:
        disk.error = 0
        vfs.open = before


def _default_vfs() -> _Vfs:
    try:
        find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
    except (AttributeError, OSError):
        skip("this Python hides its SQLite library")
    find.restype = ctypes.POINTER(_Vfs)
    vfs: _Vfs = find(None).contents
    assert sqlite3.threadsafety
    return vfs


def _methods(disk: Disk, original: int, log: bool) -> int:
    """A copy of a file's methods, two of them ours."""
    table = (ctypes.c_void_p * _METHODS).from_address(original)
    original_write, original_sync = table[_X_WRITE], table[_X_SYNC]
    assert original_write is not None
    assert original_sync is not None
    copy = (ctypes.c_void_p * _METHODS)(*table)
    system_write, system_sync = _WRITE(original_write), _SYNC(original_sync)

    def write(file: int, data: int, amount: int, offset: int) -> int:
        return disk.error or int(system_write(file, data, amount, offset))

    def sync(file: int, flags: int) -> int:
        disk.syncs += log
        return disk.error or int(system_sync(file, flags))

    ours = _WRITE(write), _SYNC(sync)
    copy[_X_WRITE], copy[_X_SYNC] = (ctypes.cast(call, ctypes.c_void_p) for call in ours)
    _kept.append((copy, ours, system_write, system_sync))
    return ctypes.addressof(copy)
