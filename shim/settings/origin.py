"""Where settings came from: what a key leads to, and cannot be used, is told with the key's place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shim.model import InputError
from shim.settings.document import Document


@dataclass(frozen=True, slots=True)
class Origin:
    """The settings file, if there is one. It is no part of what the settings say: all are equal."""

    document: Document | None = field(default=None, compare=False)

    @contextmanager
    def of(self, *path: str, errors: type[InputError] = InputError) -> Iterator[None]:
        """Inside it the value at `path` is put to use; `errors` are those that it may be blamed for."""
        try:
            yield
        except errors as error:
            if self.document is None:
                raise
            raise self.document.blame(path, error) from None
