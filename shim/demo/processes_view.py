"""The rollout on a fleet as it is seen while it runs."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.demo.demo_clients import TIMEOUT
from shim.demo.fleet_checks import count_returns
from shim.demo.fleet_operator import FleetOperator
from shim.demo.step_view import StepView, figures_table
from shim.model import Stage

_DIGEST = 8


class ProcessesView(StepView):
    """For a screen: lines as things happen, and a picture of how the processes are."""

    def __init__(self, operator: FleetOperator, count: int, factor: float) -> None:
        super().__init__(operator, count)
        self._operator = operator
        self._factor = factor

    def heading(self) -> Iterator[str]:
        """Lines to begin with."""
        fleet = self._operator.fleet
        clients = self._operator.histories.all
        users = {history.client.user for history in clients}
        first, *others = fleet.processes
        yield (
            f"A service of {len(fleet.processes)} processes with {len(clients)} WebSocket clients of "
            f"{len(users)} users replaces its health monitor. The processes share one store, a PostgreSQL: "
            f"it has the evidence, the flags and the brake. Time runs {self._factor:.3g} times as fast as "
            f"in a real service: a connection times out after {TIMEOUT / self._factor:.3g} s instead of "
            f"{TIMEOUT:g} s."
        )
        yield f"Process {first.name}: {first.url}/fleet (log in with the token, or once by this link)"
        yield first.login_link
        for each in others:
            yield f"Process {each.name}: {each.url}/fleet"
        yield f"SHIM_OPERATOR_TOKEN={fleet.environment['SHIM_OPERATOR_TOKEN']}"

    def picture(self, elapsed: float) -> RenderableType:
        """How things are now."""
        operator = self._operator
        console = f"{operator.fleet.processes[0].url}/fleet"
        state = self.state(elapsed, braked=operator.facts.braked, console=console)
        back, elsewhere = count_returns(operator.histories.all)
        returns = f"Clients came back {back} times, {elsewhere} of them to another process."
        return Group("", state, "", self._processes(), "", returns)

    def _processes(self) -> Table:
        """The processes as they describe themselves: what they have in force, and their connections."""
        rows = figures_table("process", "settings", "flags", *map(str, Stage))
        for process in self._operator.facts.record.processes:
            counts = process.connections or {}
            rows.add_row(
                Text(process.name, "" if process.alive else "dim"),
                (process.settings or "")[:_DIGEST],
                (process.flags or "")[:_DIGEST],
                *(str(counts.get(str(stage), 0)) for stage in Stage),
            )
        return rows
