"""The modules of the shim and its plugins as text: their names, lines, imports and classes."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "shim": ROOT / "shim",
    "shim_legacy_global": ROOT / "plugins" / "shim_legacy_global",
    "shim_per_session": ROOT / "plugins" / "shim_per_session",
}


@dataclass(frozen=True)
class Module:
    """`name` is the dotted one; a package's is that of its folder."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def is_package(self) -> bool:
        return self.stem == "__init__"

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def public_classes(self) -> Iterator[str]:
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name

    def imports(self) -> set[str]:
        """The modules of ours that this one imports anywhere, for type checkers alone, too."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in names() else node.module)
        return {name for name in found if name in names()} - {self.name}


@cache
def modules() -> tuple[Module, ...]:
    """All modules, by name."""
    found = []
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            found.append(Module(name, path))
    return tuple(sorted(found, key=lambda module: module.name))


@cache
def names() -> frozenset[str]:
    return frozenset(module.name for module in modules())
