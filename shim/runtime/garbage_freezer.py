"""The garbage freezer: long-lived objects are taken out of Python's garbage collection.

A full collection looks at every object of the process and stops the event loop meanwhile: for a second with
some hundred thousand connections. What the shim keeps of a connection is freed by counting references alone,
so these objects need not be looked at. `gc.freeze` sets aside every object that is alive; afterwards a full
collection looks at the newer ones only. The price: a reference cycle that becomes garbage after it was set
aside is never freed. So this is a choice of the service (the setting `gc_freeze`).
"""

import gc
import logging
from collections.abc import Callable
from time import perf_counter

from shim.model import Duration

log = logging.getLogger(__name__)


class GarbageFreezer:
    """Collects garbage among the new objects each `interval`, and sets aside those that are alive.

    `call_after` calls back within the event loop's thread, as long as the driver runs.
    """

    def __init__(
        self, interval: Duration, call_after: Callable[[Duration, Callable[[], None]], None]
    ) -> None:
        self._interval = interval
        self._call_after = call_after

    def start(self) -> None:
        began = perf_counter()
        gc.collect()
        gc.freeze()
        took = (perf_counter() - began) * 1000
        log.debug("%d objects are set aside; it took %.1f ms", gc.get_freeze_count(), took)
        self._call_after(self._interval, self.start)

    def stop(self) -> None:
        """Let Python's collection look at all objects again."""
        gc.unfreeze()
