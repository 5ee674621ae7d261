"""The operator of the demo with one service: edits the flags file, and releases the brake."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

from shim.demo.client_history import ClientHistories
from shim.demo.demo_service import DemoService
from shim.demo.step_taker import StepTaker
from shim.model import Return, Role, Stage, VerdictName
from shim.rollout.writing import replace_file
from shim.settings.flags_file import parse_flags


class Operator(StepTaker):
    """Takes the steps of a rollout on one service, by edits of the flags file."""

    def __init__(
        self,
        service: DemoService,
        flags: Path,
        histories: ClientHistories,
        *,
        seconds: float,
        patience: float,
    ) -> None:
        super().__init__(histories, seconds=seconds, patience=patience)
        self.service = service
        self._flags = flags
        self._know_good(flags.read_bytes())

    # -- What the operator does -------------------------------------------------------------------

    def put_flags(self, content: bytes) -> None:
        """Put a good flags file in place, by rename, as operators' tools do."""
        self._know_good(content)
        replace_file(self._flags, content)

    def put_truncated_flags(self) -> None:
        """Put a flags file in place for which the disk had too little room."""
        replace_file(self._flags, self._good[: len(self._good) * 2 // 3])

    def release_brake(self, reason: str, flags: bytes) -> None:
        """Release the brake, and go on with this flags file."""
        self.service.shim.release_brake(reason)
        self.put_flags(flags)

    def _know_good(self, content: bytes) -> None:
        self._good = content
        self._digest = sha256(content).hexdigest()
        self._targeting = parse_flags(content, str(self._flags))

    # -- What comes of it -------------------------------------------------------------------------

    def apps_returned(self, role: Role) -> int:
        """How many users' apps have come back after this monitor had closed their connection."""
        return sum(bool(app.outcomes[role, Return.RETURNED]) for app in self.histories.sdk_apps)

    @property
    def braked(self) -> bool:
        return self.service.brake_reason is not None

    @property
    def matched(self) -> int:
        """On how many timeouts both monitors agreed."""
        return self.histories.total(VerdictName.MATCHED)

    @property
    def refused(self) -> bool:
        """The flags file that is in place is not in force, and the reason is known."""
        flags = self.service.shim.assembly.flags
        return flags is not None and flags.problem is not None

    @property
    def placed(self) -> bool:
        """The last good file is in force, and every open connection is where it or the brake says."""
        flags = self.service.shim.assembly.flags
        if flags is None or flags.digest != self._digest:
            return False
        highest = Stage.SHADOW if self.braked else Stage.COMPLETE
        return all(
            stage is min(self._targeting.evaluate(user).stage, highest)
            for user, stage in self.service.open_connections()
        )

    def stages(self) -> Counter[Stage]:
        """How many open connections are at which stage."""
        return Counter(stage for _, stage in self.service.open_connections())
