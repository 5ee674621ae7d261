"""A file is replaced in one step or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from shim.model import InputError, Problem


def replace_file(path: Path, data: bytes) -> None:
    """Put this content in the file's place, durably, with the same mode and owner.

    A link stays, and its target is replaced. Raises InputError if that is not possible; then nothing
    has changed.
    """
    target = path.resolve()
    try:
        status = target.stat()
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), status.st_mode & 0o7777)
                # Only root may give a file away; the owner then is whoever runs the tool.
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", str(path))) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
