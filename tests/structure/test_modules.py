"""What holds of every module: unique names, no circles, neither too long nor too short, one logger each."""

import ast
from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.structure.sources import ROOT, Module, modules, names

MOST_LINES = 400
FEW_LINES = 40
MOST_BY_PLACE = 4


def repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that occur more than once, with the modules."""
    places = defaultdict(list)
    for name, module in pairs:
        places[name].append(module)
    return {name: found for name, found in places.items() if len(found) > 1}


def importers() -> dict[str, set[str]]:
    """By whom each module is imported; whoever imports a package imports what it exports."""
    found: dict[str, set[str]] = {name: set() for name in names()}
    for module in modules():
        for name in module.imports():
            found[name].add(module.name)
    return {
        name: found[package] if of == {package := name.rpartition(".")[0]} else of
        for name, of in found.items()
    }


def circles() -> list[set[str]]:
    """Modules that import each other, be it for type checkers alone (Tarjan's components)."""
    graph = {module.name: sorted(module.imports()) for module in modules()}
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        path.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == number[name]:
            component = set(path[path.index(name) :])
            del path[path.index(name) :]
            if len(component) > 1:
                found.append(component)

    for name in graph:
        if name not in number:
            visit(name)
    return found


def test_the_names_of_modules_are_unique() -> None:
    stems = (
        (module.stem, module.name)
        for module in modules()
        if module.stem not in ("__init__", "__main__")
    )
    assert repeated(stems) == {}


def test_the_names_of_public_classes_are_unique() -> None:
    classes = ((name, module.name) for module in modules() for name in module.public_classes())
    assert repeated(classes) == {}


def test_no_modules_import_each_other() -> None:
    assert circles() == []


def test_no_module_is_too_long() -> None:
    too_long = {module.name: module.lines for module in modules() if module.lines > MOST_LINES}
    assert too_long == {}


def test_no_file_of_tests_is_too_long() -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert {name: number for name, number in lines.items() if number > MOST_LINES} == {}


def test_a_short_module_has_more_than_one_importer() -> None:
    """Else it is a part of the one that imports it."""
    of = importers()
    alone = {
        module.name: of[module.name]
        for module in modules()
        if module.lines < FEW_LINES
        and not module.is_package
        and module.stem != "__main__"
        and len(of[module.name]) < 2
    }
    assert alone == {}


def own_loggers(module: Module) -> list[str]:
    """The arguments of `getLogger` where a module makes its own, at its top level."""
    return [
        ast.unparse(node.value.args[0]) if node.value.args else ""
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith("getLogger")
    ]


def test_each_module_logs_under_its_own_name() -> None:
    others = {
        module.name: found
        for module in modules()
        if (found := own_loggers(module)) not in ([], ["__name__"])
    }
    assert others == {}


def test_no_object_of_ours_is_made_with_more_than_four_arguments_by_place() -> None:
    """A reader of such a call does not know what the fifth value is."""
    ours = {name for module in modules() for name in module.public_classes()} - {"Group"}  # rich's
    by_place = [
        f"{module.name}:{call.lineno}"
        for module in modules()
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call)
        and len(call.args) > MOST_BY_PLACE
        and ast.unparse(call.func).partition("[")[0] in ours
    ]
    assert by_place == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_each_module_says_what_it_is_for(module: Module) -> None:
    assert module.docstring or not module.lines
