"""Plain numbers with labels: what metrics are made of. Counting is adding to an integer in a dict."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

Labels = tuple[str, ...]


class Example(NamedTuple):
    """A trace that shows what was counted last (an exemplar); `at` in seconds since 1970."""

    trace: str
    value: float
    at: float


class Series:
    """Counters, or gauges, of one name: a value for each combination of labels that occurred.

    `name` is Prometheus's, without the `_total` of counters. `zeros` are combinations that exist from
    the start, so that the first event is an increase and not merely a new series.
    """

    def __init__(
        self,
        kind: Literal["counter", "gauge"],
        name: str,
        documentation: str,
        labels: Labels = (),
        zeros: Iterable[Labels] = ((),),
    ) -> None:
        self.kind = kind
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.values: dict[Labels, float] = dict.fromkeys(zeros, 0)
        self.examples: dict[Labels, Example] = {}

    def add(self, *labels: str, by: float = 1, example: Example | None = None) -> None:
        self.values[labels] = self.values.get(labels, 0) + by
        if example is not None:
            self.examples[labels] = example

    def set(self, *labels: str, to: float) -> None:
        self.values[labels] = to

    def read(self) -> list[tuple[Labels, float]]:
        """A copy: another thread may read while this one counts."""
        return list(self.values.items())


class Reading(Series):
    """One number without labels that is kept elsewhere, and looked up when it is asked for."""

    def __init__(
        self,
        kind: Literal["counter", "gauge"],
        name: str,
        documentation: str,
        look_up: Callable[[], float],
    ) -> None:
        super().__init__(kind, name, documentation)
        self._look_up = look_up

    def read(self) -> list[tuple[Labels, float]]:
        return [((), self._look_up())]


class Histogram:
    """How often a value fell into which bucket, for each value of the one label, if there is one.

    `bounds` are the upper ends of the buckets, inclusive; one without end is added.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        label: str | None = None,
        zeros: Iterable[str] = ("",),
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.label = label
        self.bounds = tuple(map(float, bounds))
        self.counts = {value: [0] * (len(bounds) + 1) for value in zeros}
        self.sums = dict.fromkeys(self.counts, 0.0)
        self.examples: dict[tuple[str, int], Example] = {}

    def add(self, value: float, label: str = "", example: Example | None = None) -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[label][bucket] += 1
        self.sums[label] += value
        if example is not None:
            self.examples[label, bucket] = example
