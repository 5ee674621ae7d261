"""One simulation with its results: the gate's answer, a ledger, a capture."""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from shim.gate.answer import GateAnswer
from shim.gate.evidence import Evidence
from shim.gate.judge import judge
from shim.gate.question import QuestionTimes
from shim.ledger.gate_evidence import GATE_ROWS, gate_evidence
from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.protocols import DirectLedger, RowTaker
from shim.ledger.rows import Row, RunRow
from shim.ledger.run_row import begin_run
from shim.ledger.stores import open_direct_ledger, read_ledger
from shim.model import InputError, Time
from shim.model.ledger_url import LedgerUrl
from shim.runtime.automatic_brake import AutomaticBrake
from shim.runtime.fanout import Fanout
from shim.runtime.tally import Tally
from shim.simulate.recording import CaptureFile, SimulationRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulation import Simulation


class _GateRows:
    """Gives a ledger only the rows that the gate reads: no reader would need the other rows."""

    def __init__(self, ledger: RowTaker) -> None:
        self._ledger = ledger

    def append(self, row: Row) -> None:
        if type(row) in GATE_ROWS:
            self._ledger.append(row)


def _begin_run(scenario: Scenario) -> RunRow:
    """The same row for the same scenario, whoever simulates it; no process has the number 0."""
    settings = scenario.settings
    run = begin_run(settings, scenario.epoch)
    chance = scenario.model_copy(update={"settings": None})
    facts = (run.settings, chance, settings.gate, settings.brake, settings.guard)
    return replace(run, uuid=sha256(repr(facts).encode()).hexdigest()[:32], pid=0)


class SimulationRun:
    """A context: the files are complete when it ends.

    Without `ledger` the records go to a ledger that is gone when the context ends. `sample` is a share
    of users who are simulated and captured without leaving anything out. Raises InputError for files
    that cannot be begun, or exist.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        ledger: Path | None = None,
        capture: Path | None = None,
        skip: bool = True,
        sample: float = 0.0,
    ) -> None:
        self.scenario = scenario
        self.tally = Tally()
        self.now: Time = 0
        self._epoch = scenario.epoch
        settings = scenario.settings
        observers = Fanout([self.tally])
        self._capture: CaptureFile | None = None
        recorder = SimulationRecorder()
        with ExitStack() as stack:
            if capture is not None:
                recorder = self._capture = self._begin_capture(capture, sample, stack)
                observers.add(self._capture)
            self.simulation = Simulation(scenario, observers, recorder, skip=skip, sample=sample)
            self.ledger_url, self._ledger = self._begin_ledger(ledger, stack)
            taker = _GateRows(self._ledger) if ledger is None else self._ledger
            observers.add(LedgerObserver(taker, self._to_wall))
            self._stack = stack.pop_all()
        if scenario.brake:
            gate = settings.gate
            times = QuestionTimes(self._epoch, gate.period, gate.unit, gate.grain)
            engage = self.simulation.engage_brake
            observers.add(AutomaticBrake(settings.brake, times, engage, self._to_wall))

    def __enter__(self) -> "SimulationRun":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hours(self) -> Iterator[Time]:
        """Simulate; gives control after each hour and at the end."""
        for now in self.simulation.run():
            self.now = now
            self._ledger.commit()
            if (problem := self._ledger.problem) is not None:
                raise InputError(f"{self.ledger_url.path} cannot be written: {problem}")
            if self._capture is not None:
                self._capture.write(now)
            yield now
        if self._capture is not None:
            self._capture.end(self.now)

    def evidence(self) -> Evidence:
        """The present evidence of the gate; to be asked before the context ends."""
        reader = read_ledger(self.ledger_url)
        return gate_evidence(reader, self.scenario.settings, self._to_wall(self.now))

    def answer(self) -> GateAnswer:
        """The present answer of the gate; to be asked before the context ends."""
        return judge(self.evidence(), self.scenario.settings.gate)

    def as_dict(self) -> dict[str, Any]:
        """What happened, for the output of `shim simulate --json`."""
        fleet = self.simulation.fleet
        return {
            "users": len(fleet.users),
            "days": self.scenario.days,
            "seed": self.scenario.seed,
            "connections": sum(link.opened for link in fleet.links),
            "tally": {**self.tally.as_dict(), "brake": self.simulation.brake_reason},
        }

    def _to_wall(self, time: Time) -> Time:
        return self._epoch + time

    def _begin_capture(self, path: Path, sample: float, stack: ExitStack) -> CaptureFile:
        try:
            file = stack.enter_context(path.open("xb"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        return CaptureFile(file, self.scenario, sample)

    def _begin_ledger(self, path: Path | None, stack: ExitStack) -> tuple[LedgerUrl, DirectLedger]:
        if path is None:
            path = Path(stack.enter_context(TemporaryDirectory(prefix="shim-"))) / "ledger.db"
        elif path.exists():
            raise InputError(f"{path}: a simulation begins its own ledger, and this file exists")
        url = LedgerUrl.of_file(path)
        ledger = open_direct_ledger(url, _begin_run(self.scenario))
        stack.callback(lambda: ledger.close(self._to_wall(self.simulation.now())))
        return url, ledger
