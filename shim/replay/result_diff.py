"""What another setting changes: two replays of one capture, verdict by verdict.

Verdicts are paired by the silence that they judge: connection and last sign of life. A connection that a
monitor closes under one setting is gone there for the rest of the capture. So later silences of that
connection have a verdict only under the other setting.
"""

from dataclasses import dataclass
from typing import Any

from shim.model import Time, Verdict
from shim.replay.result import ReplayResult, verdict_row


@dataclass(frozen=True, slots=True)
class Difference:
    """The verdicts of setting A compared with those of setting B.

    `unchanged`: the same verdict at the same times; `moved`: the same, at other times; `changed`:
    another verdict on the same silence, in the order of A; `only_a`, `only_b`: silences that have a
    verdict only under one setting.
    """

    unchanged: int
    moved: int
    changed: tuple[tuple[Verdict, Verdict], ...]
    only_a: tuple[Verdict, ...]
    only_b: tuple[Verdict, ...]

    def as_dict(self) -> dict[str, Any]:
        """For programs; verdicts as `shim replay --json` writes them."""
        return {
            "unchanged": self.unchanged,
            "moved": self.moved,
            "changed": [{"a": verdict_row(a), "b": verdict_row(b)} for a, b in self.changed],
            "only_a": [verdict_row(verdict) for verdict in self.only_a],
            "only_b": [verdict_row(verdict) for verdict in self.only_b],
        }


def difference(a: ReplayResult, b: ReplayResult) -> Difference:
    """Compare the results of two replays of the same capture."""
    others = {_silence(verdict): verdict for verdict in b.rows()}
    unchanged = moved = 0
    changed: list[tuple[Verdict, Verdict]] = []
    only_a: list[Verdict] = []
    for verdict in a.rows():
        other = others.pop(_silence(verdict), None)
        if other is None:
            only_a.append(verdict)
        elif _judgement(verdict) != _judgement(other):
            changed.append((verdict, other))
        elif _times(verdict) != _times(other):
            moved += 1
        else:
            unchanged += 1
    return Difference(
        unchanged=unchanged,
        moved=moved,
        changed=tuple(changed),
        only_a=tuple(only_a),
        only_b=tuple(others.values()),
    )


def _silence(verdict: Verdict) -> tuple[str, Time]:
    return verdict.connection.id, verdict.last_activity


def _judgement(verdict: Verdict) -> tuple[object, ...]:
    return verdict.name, verdict.kind, verdict.recovered


def _times(verdict: Verdict) -> tuple[Time | None, ...]:
    return verdict.at, verdict.control_at, verdict.candidate_at
