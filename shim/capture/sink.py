"""The thread that writes captures, so that a slow disk never holds up the event loop.

Once its opening is complete, a regular file always ends with a valid `end`: each batch of lines overwrites
the `end` before it, in one write. So a capture can be replayed after its process was killed, and a full disk
still has room for an `end`. A pipe gets its `end` when it is closed. A file that ends before its opening is
complete is removed.
"""

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

Command = Callable[[], None]


class Sink:
    """Writes files one after the other. Commands are queued; every method except `close` returns at once.

    To be read at any time: `error` (the problem of the present file, which has been ended), `pending`
    (queued bytes), `idle` (nothing is queued, and nothing is being written).
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self.name = str(path)
        self._path = path
        self._file: FileIO | None = None
        self._regular = False
        # The bytes up to the last `end`, and those after it: of an opening that is not complete.
        self._size = self._loose = 0
        self._end = b""
        self._queue: SimpleQueue[tuple[Command, int] | None] = SimpleQueue()
        # Only one thread writes each counter. Sums of bytes, and numbers of commands.
        self._bytes_given = self._bytes_done = self._given = self._done = 0
        # A daemon: a pipe that nobody reads must not keep the process from ending.
        self._thread = Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        return self._bytes_given - self._bytes_done

    @property
    def idle(self) -> bool:
        return self._given == self._done

    def begin(self, header: bytes) -> None:
        """Begin a file. If the file before has failed, call this only when `idle`."""
        self.error = None
        self._order(lambda: self._begin(header))

    def write(self, parts: Iterable[bytes], size: int, end: bytes | None) -> None:
        """Add lines, in parts which the thread reads, together of this size in bytes.

        `end` is the line that ends the file after them (None: its opening is not complete).
        """
        self._order(lambda: self._write(parts, end), size)

    def finish(self, end: bytes) -> None:
        """End the file."""
        self._order(lambda: self._finish(end))

    def close(self, timeout: float) -> bool:
        """Stop when everything is written; False if that took longer than `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _order(self, command: Command, size: int = 0) -> None:
        self._given += 1
        self._bytes_given += size
        self._queue.put((command, size))

    def _run(self) -> None:
        while (order := self._queue.get()) is not None:
            command, size = order
            try:
                command()
            except OSError as error:
                self._fail(error)
            self._bytes_done += size
            self._done += 1

    # -- In the thread ----------------------------------------------------------------------------

    def _begin(self, header: bytes) -> None:
        """Begin a new file; an existing pipe or device is written to."""
        if self._path.exists() and not self._path.is_file():
            self._file = FileIO(self._path, "wb")
            self.name = str(self._path)
        else:
            self._file = self._create_stamped()
        self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        self._size = self._loose = 0
        self._write([header], None)

    def _create_stamped(self) -> FileIO:
        while True:
            stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
            path = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            with suppress(FileExistsError):
                file = FileIO(path, "xb")
                self.name = str(path)
                return file

    def _write(self, parts: Iterable[bytes], end: bytes | None) -> None:
        if self._file is None:
            return  # it has failed, and is ended
        # Not joined in one go: the event loop would have to wait for that.
        lines = bytearray()
        for part in parts:
            lines += part
        self._loose += len(lines)
        if end is None or not self._regular:
            self._put(lines)
        else:
            lines += end
            self._put(lines)
            self._end = end
            self._size += self._loose
            self._loose = 0
            self._file.seek(self._size)

    def _finish(self, end: bytes) -> None:
        if self._file is not None:
            if self._regular and not self._size:
                os.unlink(self.name)
            else:
                self._put(end)
            self._file.close()
            self._file = None

    def _put(self, data: bytes | bytearray) -> None:
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    def _fail(self, error: OSError) -> None:
        """End the file after its last whole part; remove a file without any whole part."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                if self._regular and self._size:
                    file.seek(self._size)
                    file.write(self._end)
                    file.truncate()
                elif self._regular:
                    os.unlink(self.name)
            with suppress(OSError):
                file.close()
        self.error = error
