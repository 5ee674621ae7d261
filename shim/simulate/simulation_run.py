"""One simulation with everything that is made of it: the gate's answer, a ledger, a capture."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shim.gate import GateAnswer, judge
from shim.ledger import DirectLedger, LedgerObserver, describe
from shim.model import InputError, Time
from shim.runtime.automatic_brake import AutomaticBrake
from shim.runtime.fanout import Fanout
from shim.runtime.tally import Tally
from shim.simulate.recording import CaptureFile, Decisions, NoRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulated_evidence import GateEvidence
from shim.simulate.simulated_server import SimulationRecorder
from shim.simulate.simulation import Simulation


class SimulationRun:
    """A context: the files are complete when it ends.

    `sample` is a share of users who are simulated and captured without leaving anything out. Raises
    InputError for files that cannot be begun, or exist.
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
        self._epoch = scenario.epoch
        self.tally = Tally()
        self.gathered = GateEvidence(scenario)
        self.now: Time = 0
        self._stack = ExitStack()
        observers = Fanout([self.tally, self.gathered])
        self._capture: CaptureFile | None = None
        recorder: SimulationRecorder = NoRecorder()
        if capture is not None:
            recorder = self._capture = self._begin_capture(capture, sample)
            observers.add(Decisions(self._capture))
        self.simulation = Simulation(scenario, observers, recorder, skip=skip, sample=sample)
        self._ledger: DirectLedger | None = None
        if ledger is not None:
            try:
                self._ledger = self._begin_ledger(ledger)
            except BaseException:
                self._stack.close()
                raise
            observers.add(LedgerObserver(self._ledger, self.simulation.now, self._wall))
        if scenario.brake:
            settings, window = scenario.settings, scenario.settings.comparison.return_window
            observers.add(AutomaticBrake(settings.brake, window, self.simulation.engage_brake, 0))

    def __enter__(self) -> "SimulationRun":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hours(self) -> Iterator[Time]:
        """Simulate; gives control after each hour and at the end."""
        for now in self.simulation.run():
            self.now = now
            if self._ledger is not None:
                self._ledger.commit()
                if (problem := self._ledger.problem) is not None:
                    raise InputError(f"{self._ledger.path} cannot be written: {problem}")
            if self._capture is not None:
                self._capture.write(now)
            yield now
        if self._capture is not None:
            self._capture.end(self.now)

    def answer(self) -> GateAnswer:
        """What the gate says by now."""
        return judge(self.gathered.evidence(self.now), self.scenario.settings.gate)

    def as_dict(self) -> dict[str, Any]:
        """What happened, for the output of `shim simulate --json`."""
        fleet = self.simulation.fleet
        return {
            "users": len(fleet.users),
            "days": self.scenario.days,
            "seed": self.scenario.seed,
            "connections": sum(link.opened for link in fleet.links),
            "tally": self.tally.as_dict(),
        }

    def _wall(self) -> Time:
        return self._epoch + self.simulation.now()

    def _begin_capture(self, path: Path, sample: float) -> CaptureFile:
        try:
            file = self._stack.enter_context(path.open("xb"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        return CaptureFile(file, self.scenario, sample)

    def _begin_ledger(self, path: Path) -> DirectLedger:
        if path.exists():
            raise InputError(f"{path}: a simulation begins its own ledger, and this file exists")
        ledger = DirectLedger(path, describe(self.scenario.settings, self._epoch))
        self._stack.callback(lambda: ledger.close(self._wall()))
        return ledger
