"""Observers: objects that get the events, all of them through one method.

class Closings(Observer):
    @handles(Closing)
    def _closed(self, closing: Closing) -> None: ...
"""

from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, ClassVar, TypeVar

from shim.router.events import Event

_Self = TypeVar("_Self")
_Event = TypeVar("_Event", bound=Event)
_HANDLES = "_handles"


def handles(
    kind: type[_Event],
) -> Callable[[Callable[[_Self, _Event], None]], Callable[[_Self, _Event], None]]:
    """Mark the method of an observer that handles the events of one type."""

    def mark(method: Callable[[_Self, _Event], None]) -> Callable[[_Self, _Event], None]:
        setattr(method, _HANDLES, kind)
        return method

    return mark


class Observer:
    """Gets each event as it happens. The router does not catch what an observer raises."""

    _handlers: ClassVar[Mapping[type, Callable[..., None]]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        marked = [method for method in vars(cls).values() if hasattr(method, _HANDLES)]
        cls._handlers = {**cls._handlers, **{getattr(m, _HANDLES): m for m in marked}}

    def on(self, event: Event) -> None:
        """Tell the observer of an event; nothing happens if no method handles its type."""
        if (handler := self._handlers.get(type(event))) is not None:
            handler(self, event)

    def handler(self, kind: type[Event]) -> Callable[[Any], None] | None:
        """The method that handles the events of this type, if there is one."""
        handler = self._handlers.get(kind)
        return None if handler is None else MethodType(handler, self)
