"""One brake for the fleet: every process follows the last order in the store, and tells its own (R25).

engaged here      at once, for this process; then in the store, as soon as that answers
engaged elsewhere this process follows
released          only in the store, by hand; then every process follows
the store away    this process keeps what it last knew, also over a restart
restored          what was engaged before, in an order that the backup does not have, is engaged again

Rules: docs/design.md#r22, docs/design.md#r25.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import Connection

from shim.fleet.fleet_link import FleetDuty
from shim.fleet.fleet_memory import FleetMemory
from shim.ledger.postgres.brake_orders import StoredOrder, give_order, has_order, last_order
from shim.model import InputError, Time
from shim.router import BrakeChanged, Observer, handles

_NAME = "brake"
_RELEASE_TAKES = 5.0
"""Seconds that a release waits for the store."""


class LocalBrake(Protocol):
    """The brake of this process; to be used in the event loop."""

    def engage_brake(self, reason: str, *, by_itself: bool = False) -> None: ...

    def release_brake(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    """An order that is to be given in the store; `done` is told when it is."""

    engaged: bool
    reason: str
    origin: str | None
    done: "Future[StoredOrder] | None" = None


class FleetBrake(Observer, FleetDuty):
    """Follows the orders, and gives those of this process.

    Args:
        brake: the brake of this process.
        process: the name of this process, for people.
        memory: keeps the last order that is known.
        post: runs a function in the event loop, from any thread.
        engaged: the reason of a brake that was left engaged, and when it was engaged; None: it is released.
    """

    def __init__(
        self,
        brake: LocalBrake,
        process: str,
        memory: FleetMemory,
        *,
        post: Callable[[Callable[[], None]], object],
        to_wall: Callable[[Time], int],
        engaged: tuple[str, int] | None,
    ) -> None:
        self._brake = brake
        self._process = process
        self._memory = memory
        self._post = post
        self._to_wall = to_wall
        self._following = False
        self._wishes: deque[_Wish] = deque()
        # The last one that the store was asked for.
        self._asked: _Wish | None = None
        known = memory.recall(_NAME) or {}
        self._known: int | None = known.get("id")
        self._connection: Connection[Any] | None = None
        if engaged is not None and not known.get("engaged", False):
            # It was engaged while the store was away, and the process has been restarted since.
            reason, at = engaged
            self._wishes.append(_Wish(True, reason, _origin(reason, at)))

    # -- In the event loop --------------------------------------------------------------------------

    @handles(BrakeChanged)
    def _changed(self, brake: BrakeChanged) -> None:
        """The brake of this process was engaged or released here."""
        if not self._following:
            origin = _origin(brake.reason, self._to_wall(brake.at))
            self._wishes.append(_Wish(brake.engaged, brake.reason, origin))

    async def release(self, reason: str) -> None:
        """Release the fleet's brake, for every process.

        Raises InputError if the store does not answer, or not in time, or if the brake was engaged anew
        meanwhile.
        """
        done: Future[StoredOrder] = Future()
        wish = _Wish(False, reason, None, done)
        self._wishes.append(wish)
        try:
            order = await asyncio.wait_for(asyncio.wrap_future(done), _RELEASE_TAKES)
        except TimeoutError:
            with suppress(ValueError):
                self._wishes.remove(wish)
            raise InputError(
                "the store has not answered yet: it may still release the fleet's brake, see the brake's status"
                if self._asked is wish
                else "the store does not answer: the fleet's brake can be released only there"
            ) from None
        if order.engaged:
            raise InputError(f"the brake was engaged anew by {order.process}: {order.reason}")

    # -- In the thread of the link ------------------------------------------------------------------

    def attend(self, connection: Connection[Any]) -> None:
        self._memory.try_again()
        if connection is not self._connection:
            self._connection = connection
            self._engage_again(connection)
        for wish in list(self._wishes):
            self._asked = wish
            if wish not in self._wishes:  # the event loop has given up a release
                continue
            order = give_order(
                connection,
                engaged=wish.engaged,
                reason=wish.reason,
                process=self._process,
                origin=wish.origin,
                knowing=self._known,
            )
            with suppress(ValueError):
                self._wishes.remove(wish)
            self._follow(order)
            if wish.done is not None:
                self._post(_settled(wish.done, order))
        order_in_force = last_order(connection)
        if order_in_force is not None and order_in_force.id != self._known:
            self._follow(order_in_force)

    def leave(self, connection: Connection[Any]) -> None:
        """What this process ordered last reaches the others."""
        self.attend(connection)

    def _engage_again(self, connection: Connection[Any]) -> None:
        """A store that was restored from a backup has forgotten an order: that releases no brake."""
        match self._memory.recall(_NAME):
            case {"engaged": True, "id": int(id), "at": int(at), "reason": str(reason)}:
                if not has_order(connection, id, at):
                    # The origin is the same in all processes: one of them gives the order, and once.
                    self._wishes.append(_Wish(True, reason, f"again {_origin(reason, at)}"))

    def _follow(self, order: StoredOrder) -> None:
        self._known = order.id
        # What is not on the disk first would be forgotten by a crash in between.
        facts = {name: getattr(order, name) for name in ("id", "engaged", "reason", "at")}
        self._memory.keep(_NAME, facts)
        self._post(lambda: self._apply(order))

    def _apply(self, order: StoredOrder) -> None:
        """Do as the order says, unless this process has one of its own on the way."""
        if not order.engaged and any(wish.engaged for wish in self._wishes):
            return
        self._following = True
        try:
            if order.engaged:
                self._brake.engage_brake(order.reason)
            else:
                self._brake.release_brake(order.reason)
        finally:
            self._following = False


def _origin(reason: str, at: int) -> str:
    """Names an order, also after a restart, when the process may have another name."""
    return f"{at} {reason}"


def _settled(done: "Future[StoredOrder]", order: StoredOrder) -> Callable[[], None]:
    def settle() -> None:
        if not done.done():
            done.set_result(order)

    return settle
