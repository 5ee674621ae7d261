"""The fan-out: the one observer of the router, which passes each event to all other observers.

Rules: docs/design.md#r5.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, get_args

from shim.router import Event, Observer

log = logging.getLogger(__name__)

_EVENTS: tuple[type[Event], ...] = get_args(Event)


class Fanout(Observer):
    """Passes events to observers in order; an observer that raises is logged and disturbs no other (R5).

    An observer costs nothing for events of a type that it does not handle.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._handlers_of: dict[type, list[Callable[[Any], None]]] = {kind: [] for kind in _EVENTS}
        for observer in observers:
            self.add(observer)

    def add(self, observer: Observer) -> None:
        """Pass events to this observer, too, after the others."""
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
