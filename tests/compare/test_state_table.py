"""The table in the comparator's docstring is true: it is read, and each of its cells is tried."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

import shim.compare.comparator
from shim.compare.comparator import Comparator
from shim.model import SECOND, Connection, Kind, LateDecision, Role, Verdict
from tests.compare.silent import Silent

S = SECOND
C1 = Connection("c1", Kind.APP, "u1", "s1", "com.example.app1")
STATES = ("quiet", "open", "judged")


@dataclass(frozen=True)
class Cell:
    """What the table says about one event in one state."""

    event: str
    state: str
    text: str

    def __str__(self) -> str:
        return f"{self.event}-{self.state}"

    @property
    def answer(self) -> str:
        """The record that comes of it, in the table's words; empty if none does."""
        words = re.sub(r"\(R\d+b?\)", "", self.text.partition("->")[0]).strip()
        return "" if words in (*STATES, "gone") else words

    @property
    def after(self) -> str:
        """The state afterwards; where none is named, it stays as it is."""
        words = re.sub(r"\(R\d+b?\)", "", self.text).replace("->", " ").split()
        named = [word for word in words if word in (*STATES, "gone")]
        return named[-1] if named else self.state


def cells() -> Iterator[Cell]:
    """The cells of the table; a line without an event goes on with the one above."""
    lines = (shim.compare.comparator.__doc__ or "").splitlines()
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in lines
        if line.strip().startswith("|")
    ]
    header, _, *body = rows
    assert tuple(header[1:]) == STATES
    joined: list[list[str]] = []
    for event, *texts in body:
        if event:
            joined.append([event, *texts])
        else:
            joined[-1][1:] = [
                f"{above} {text}".strip() for above, text in zip(joined[-1][1:], texts, strict=True)
            ]
    for event, *texts in joined:
        for state, text in zip(STATES, texts, strict=True):
            yield Cell(event.rstrip(","), state, text)


def decides(compared: Comparator, role: Role, at: int) -> Verdict | LateDecision | None:
    return compared.decided(Silent(C1), role, at * S)


EVENTS: dict[str, Callable[[Comparator], object]] = {
    "a decision": lambda compared: decides(compared, Role.CANDIDATE, 60),
    "sign of life": lambda compared: compared.sign_of_life("c1", 60 * S),
    "window passed": lambda compared: next(compared.expire(500 * S), None),
    "saved": lambda compared: compared.held("c1", 60 * S),
    "closed": lambda compared: compared.closed("c1", 60 * S),
    "handover": lambda compared: compared.handed_over("c1", 60 * S),
    "shutdown": lambda compared: next(compared.shutdown(60 * S), None),
    "error": lambda compared: compared.failed(Silent(C1), 60 * S),
}


def comparator_in(state: str, first: int = 50) -> Comparator:
    compared = Comparator(tolerance=16 * S, window=60 * S)
    if state != "quiet":
        decides(compared, Role.CONTROL, first)
    if state == "judged":
        decides(compared, Role.CANDIDATE, first)
    return compared


def state_of(compared: Comparator) -> str:
    """Where a decision is late the silence is judged; `gone` is as quiet as `quiet`."""
    if compared.is_open("c1"):
        return "open"
    late = isinstance(decides(compared, Role.CONTROL, 600), LateDecision)
    return "judged" if late else "quiet"


def described(answer: object) -> str:
    """A record in the words of the table."""
    if answer is None:
        return ""
    if isinstance(answer, LateDecision):
        return "late"
    assert isinstance(answer, Verdict)
    if answer.name == "inconclusive":
        return "inconclusive"
    if answer.kind.value.startswith("only_"):
        return "only_..., recovered" if answer.recovered else "only_..."
    return answer.kind.value


TABLE = list(cells())


def test_the_table_is_read_in_full() -> None:
    assert [cell.event for cell in TABLE[::3]] == list(EVENTS)
    assert len(TABLE) == 24


@pytest.mark.parametrize("cell", TABLE, ids=str)
def test_a_cell_is_true(cell: Cell) -> None:
    compared = comparator_in(cell.state)
    assert state_of(comparator_in(cell.state)) == cell.state
    answer = described(EVENTS[cell.event](compared))
    if cell.answer == "the other monitor's: matched or skewed":
        assert answer == "both"
        assert described(decides(comparator_in("open"), Role.CANDIDATE, 90)) == "skewed"
    else:
        assert answer == cell.answer
    assert state_of(compared) == cell.after.replace("gone", "quiet")
