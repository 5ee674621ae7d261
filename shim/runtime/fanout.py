"""The fan-out: the one observer that the router tells, and that tells all the others."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, get_args

from shim.router import Event, Observer

log = logging.getLogger(__name__)

_EVENTS: tuple[type[Event], ...] = get_args(Event)


class Fanout(Observer):
    """Tells several observers in their order; one that raises is logged and disturbs nobody (R5).

    An observer costs nothing where an event of another type happens than those that it handles.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._handlers_of: dict[type, list[Callable[[Any], None]]] = {kind: [] for kind in _EVENTS}
        for observer in observers:
            self.add(observer)

    def add(self, observer: Observer) -> None:
        """Tell this one, too, after the others."""
        for kind, handlers in self._handlers_of.items():
            if (handler := observer.handler(kind)) is not None:
                handlers.append(handler)

    def on(self, event: Event) -> None:
        for handler in self._handlers_of[type(event)]:
            try:
                handler(event)
            except Exception:
                log.exception("observer %s failed", getattr(handler, "__qualname__", handler))

    def handler(self, kind: type[Event]) -> Callable[[Any], None]:
        return self.on
