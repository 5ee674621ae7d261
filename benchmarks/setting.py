"""What the benchmarks share: a router with the two monitors, and a port that costs nothing."""

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.model import SECOND, Close, Confirmation, Monitors, Time
from shim.router import NO_CONFIRMATION, Observer, Router
from shim.runtime.cpu_meter import CpuMeter
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings

MONITORS = Monitors((LegacyGlobal(), LegacySettings()), (PerSession(), PerSessionSettings()))


class NullPort:
    def ping(self, payload: bytes) -> None: ...

    def close(self, close: Close) -> None: ...

    def terminate(self) -> None: ...

    def forget(self) -> None: ...

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION


def make_router(start: Time) -> Router:
    return Router(
        MONITORS,
        comparator=Comparator(tolerance=16 * SECOND, window=60 * SECOND),
        outcomes=Outcomes(120 * SECOND),
        observer=Observer(),
        start=start,
        meter=CpuMeter(50_000),
    )
