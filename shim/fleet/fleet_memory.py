"""What a process last knew of its fleet, in a small file beside its outbox: it survives a restart without the
store (R25, R26).

Rules: docs/design.md#r25, docs/design.md#r26.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class FleetMemory:
    """Texts and numbers by name. A file that cannot be read is as if there were none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = self._read()
        self._problem: str | None = None

    def recall(self, name: str) -> Any:
        """What was kept under this name; None: nothing."""
        return self._facts.get(name)

    def keep(self, name: str, fact: Any) -> None:
        """Keep a fact; afterwards it is on the disk, unless the log says why not."""
        self._facts = {**self._facts, name: fact}
        self._write()

    def try_again(self) -> None:
        """Write down what could not be written before: the disk was full, say."""
        if self._problem is not None:
            self._write()

    def _write(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(self._facts, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            if error.strerror != self._problem:
                self._problem = error.strerror or "unknown error"
                log.error("fleet: %s cannot be written: %s", self._path, self._problem)
        else:
            self._problem = None

    def _read(self) -> dict[str, Any]:
        try:
            facts = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.error("fleet: %s cannot be read: %s", self._path, error)
            return {}
        return facts if isinstance(facts, dict) else {}
