"""The tool itself: what is changed, how a change is addressed, and that the list of equivalents is true."""

import ast
from pathlib import Path

import pytest

from tests.mutants import mutation as mutants
from tests.mutants.coverage_map import PACKAGES
from tests.mutants.equivalent import equivalents
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


def test_each_listed_equivalent_is_still_what_it_was() -> None:
    everything = {a: m for name in modules_of(*PACKAGES) for a, m in mutations_of(name).items()}
    for address, listed in equivalents().items():
        assert address in everything, f"no such mutation any more: {address}"
        assert everything[address].before == listed.before, f"other code now: {address}"
        assert len(listed.because) > 20
