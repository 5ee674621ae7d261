"""Monitor types with settings of every kind, and what becomes of a file with settings for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from shim.model import SECOND, Duration, InputError, Monitor, MonitorType, Scope, Time
from shim.settings.settings import Settings, load_settings


@dataclass(frozen=True)
class FakeSettings:
    """Keys of every kind that a plugin may have."""

    timeout: Duration = 45 * SECOND
    retries: int = 3
    label: str = "fake"
    loud: bool = False
    share: float = 0.5
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        mistakes = []
        if self.retries < 0:
            mistakes.append("retries: must not be negative")
        if self.share > 1:
            mistakes.append("share: must not be above 1")
        if self.label == "nonsense":
            mistakes.append("these make no sense together")
        if self.label == "bytes":
            b"\xff".decode()
        if mistakes:
            raise ValueError(*mistakes)
        if self.label == "crash":
            raise RuntimeError("boom")


class Fake:
    name: ClassVar[str] = "fake"
    scope: ClassVar[Scope] = Scope.SESSION
    Settings: ClassVar[type[Any]] = FakeSettings

    def create(self, settings: Any, scope_id: str, start: Time) -> Monitor:
        raise NotImplementedError


@dataclass(frozen=True)
class NeedySettings:
    url: str


class Needy(Fake):
    name = "needy"
    Settings = NeedySettings


TYPES: Mapping[str, MonitorType] = {
    "fake": Fake(),
    "needy": Needy(),
    # Under the names of the default plugins.
    "legacy-global": Fake(),
    "per-session": Fake(),
}


def loaded(file: Path, text: str) -> Settings:
    file.write_text(text)
    return load_settings(file, TYPES)


def places(file: Path, text: str) -> list[tuple[int | None, str | None]]:
    with pytest.raises(InputError) as caught:
        loaded(file, text)
    assert {problem.file for problem in caught.value.problems} == {str(file)}
    return [(problem.line, problem.path) for problem in caught.value.problems]


def reasons(file: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        loaded(file, text)
    return str(caught.value)
