"""The import contracts of pyproject.toml know every package: a new one cannot be forgotten there."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = {f"shim.{init.parent.name}" for init in ROOT.glob("shim/*/__init__.py")}
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]


def contract(beginning: str) -> dict[str, Any]:
    (found,) = [each for each in CONTRACTS if each["name"].startswith(beginning)]
    return found


def test_every_package_has_its_layer() -> None:
    layers = contract("Wings")["layers"]
    assert {package for layer in layers for package in layer.split(" | ")} == PACKAGES


def test_plugins_are_kept_from_every_package_but_the_model_and_the_hooks() -> None:
    forbidden = set(contract("A plugin")["forbidden_modules"])
    assert forbidden >= PACKAGES - {"shim.model", "shim.plugin"}
