"""The tool itself: what is changed, how a change is addressed, and that the list of equivalents is true."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import mutation as mutants
from tests.mutants.coverage_map import PACKAGES, CoverageMap
from tests.mutants.equivalent import Equivalent, equivalents
from tests.mutants.loading import FunctionKey, changed_functions, live_functions
from tests.mutants.mutation import Mutation, modules_of, mutations_of, replaced, swapped

SOURCE = '''"""Docs."""
from shim.model import Role

LIMIT = 3


class Thing:
    """Docs."""

    def asks(self, a: "int < 3", b: int) -> bool:
        """Docs."""
        if a < b and not self.off:
            self.count += 1
            return min(a, b) == LIMIT
        raise AssertionError("never")


def other(role):
    return role is Role.CONTROL
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of these lines; whatever was found in it is forgotten afterwards."""
    path = tmp_path / "sample.py"
    path.write_text(SOURCE)
    monkeypatch.setattr(
        mutants, "parse", lambda name: ast.parse(path.read_text() if name == "sample" else "")
    )
    monkeypatch.setattr(mutants, "path_of", lambda name: path)
    monkeypatch.setattr(mutants, "_enums", lambda: {"Role": ("CONTROL", "CANDIDATE")})
    monkeypatch.setattr(mutants, "mutations_of", mutations_of.__wrapped__)
    return "sample"


def test_what_is_changed(module: str) -> None:
    found = mutations_of.__wrapped__(module)
    assert {
        f"{m.qualname}:{m.change}:{m.number}: {m.before} -> {m.after}"
        for m in found.values()
        if m.change not in ("negate", "always", "never", "remove")
    } == {
        ":constant + 1:1: 3 -> 4",
        ":constant - 1:1: 3 -> 2",
        "Thing.asks:< to <=:1: a < b -> a <= b",
        "Thing.asks:< to >=:1: a < b -> a >= b",
        "Thing.asks:and to or:1: a < b and (not self.off) -> a < b or not self.off",
        "Thing.asks:drop of and:1: a < b and (not self.off) -> not self.off",
        "Thing.asks:drop of and:2: a < b and (not self.off) -> a < b",
        "Thing.asks:drop not:1: not self.off -> self.off",
        "Thing.asks:+ to -:1: self.count += 1 -> self.count -= 1",
        "Thing.asks:constant + 1:1: 1 -> 2",
        "Thing.asks:constant - 1:1: 1 -> 0",
        "Thing.asks:return None:1: return min(a, b) == LIMIT -> return None",
        "Thing.asks:== to !=:1: min(a, b) == LIMIT -> min(a, b) != LIMIT",
        "Thing.asks:min to max:1: min(a, b) -> max(a, b)",
        "Thing.asks:drop of min:1: min(a, b) -> b",
        "Thing.asks:drop of min:2: min(a, b) -> a",
        "other:return None:1: return role is Role.CONTROL -> return None",
        "other:is to is not:1: role is Role.CONTROL -> role is not Role.CONTROL",
        "other:Role.CONTROL to CANDIDATE:1: Role.CONTROL -> Role.CANDIDATE",
    }


def done_by(mutation: Mutation) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(mutation.code(), names)
    return names


def test_a_mutation_changes_one_place_and_no_file(module: str) -> None:
    found = mutations_of.__wrapped__(module)
    assert done_by(found["sample:(module):constant + 1:1"])["LIMIT"] == 4
    assert done_by(found["sample:other:return None:1"])["LIMIT"] == 3
    assert mutants.path_of(module).read_text() == SOURCE


def test_an_address_survives_edits_elsewhere(module: str) -> None:
    before = set(mutations_of.__wrapped__(module))
    path = mutants.path_of(module)
    path.write_text(
        SOURCE.replace("LIMIT = 3", "\n\ndef more(x):\n    return x + 1 < 2\n\nLIMIT = 3")
    )
    assert before < set(mutations_of.__wrapped__(module))


def test_an_expression_on_request(module: str) -> None:
    found = replaced(module, "Thing.asks", "LIMIT", "5")
    assert (found.before, found.after, list(found.lines)) == ("LIMIT", "5", [14])
    with pytest.raises(LookupError):
        replaced(module, "Thing.asks", "LIMIT", "5", 2)


def test_two_statements_on_request(module: str) -> None:
    found = swapped(module, "Thing.asks")
    assert found.after == "return min(a, b) == LIMIT; self.count += 1"
    with pytest.raises(LookupError):
        swapped(module, "Thing.asks", 2)


def functions_changed(module: str, address: str) -> set[str]:
    mutation = mutations_of.__wrapped__(module)[f"{module}:{address}"]
    return {key.qualname for key in changed_functions(mutation)}


def test_which_functions_a_mutation_changes(module: str) -> None:
    assert functions_changed(module, "other:return None:1") == {"other"}
    assert functions_changed(module, "Thing.asks:< to <=:1") == {"Thing.asks"}
    assert functions_changed(module, "(module):constant + 1:1") == set()


def test_where_no_other_code_can_be_put_in_place(module: str) -> None:
    """Other variables of the function around it, two functions in one line, or a function in another line."""
    path = mutants.path_of(module)
    path.write_text(
        "def outer(x, y):\n    def inner():\n        return x and y\n    return inner\n"
        "def twice(x):\n    return (lambda: x + 1, lambda: x + 1)\n"
        "def ordered(x):\n    return sorted(\n        (y for y in x),\n        key=len)\n"
    )
    assert functions_changed(module, "outer.inner:and to or:1") == {
        "outer",
        "outer.<locals>.inner",
    }
    assert functions_changed(module, "outer.inner:drop of and:1") == set()
    assert functions_changed(module, "twice:constant + 1:1") == set()
    assert functions_changed(module, "ordered:drop sorted:1") == set()


def test_functions_in_memory_are_found_by_where_they_are_written(module: str) -> None:
    path = mutants.path_of(module)
    names: dict[str, Any] = {}
    exec(compile(SOURCE, path, "exec"), names)
    live = live_functions({path})
    assert live[FunctionKey(path, "other", 18)] == [names["other"]]
    assert live[FunctionKey(path, "Thing.asks", 10)] == [names["Thing"].asks]
    assert live_functions({path.with_name("another.py")}) == {}


@pytest.mark.parametrize("listed", equivalents().values(), ids=lambda listed: listed.mutation)
def test_each_listed_equivalent_is_still_what_it_was(listed: Equivalent) -> None:
    module, _, _ = listed.mutation.partition(":")
    assert module in modules_of(*PACKAGES)
    mutation = mutations_of(module).get(listed.mutation)
    assert mutation is not None, "no such mutation any more"
    assert mutation.before == listed.before, "other code now"
    assert len(listed.because) > 20


@pytest.mark.parametrize("users", [0, 2])
def test_what_a_module_declares_is_tried_with_the_tests_of_its_folder_too(users: int) -> None:
    """Where no test executes a line of the module, all tests are tried."""
    mutation = mutations_of("shim.router.events")["shim.router.events:Opened:True to False:1"]
    of_folder, elsewhere = "tests/router/test_a.py::a", "tests/gate/test_b.py::b"
    using = [f"tests/model/test_c.py::c{number}" for number in range(users)]
    (line,) = mutation.lines
    lines = {str(line): [""], str(line + 1): using}
    tests = CoverageMap(
        dict.fromkeys((of_folder, elsewhere, *using), 1.0), {"shim.router.events": lines}
    )
    expected = {of_folder, *using} if users else {of_folder, elsewhere}
    assert set(tests.tests_of(mutation)) == expected
