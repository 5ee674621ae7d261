"""The orders of operators about the brake. Every order is in the log, with the operator and the reason.

Rules: docs/design.md#r22.
"""

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from shim.console.access.access import Visitor
from shim.console.api.problems import ApiError, bad_request
from shim.console.api.schemas import BrakeOrder
from shim.console.operations import Operations

log = logging.getLogger(__name__)

_FLUSH = 2.0
"""Seconds; the longest time for which a ledger with a problem may delay the answer to an order."""


async def give_brake_order(operations: Operations, visitor: Visitor, order: BrakeOrder) -> None:
    """Engage or release the brake (R22). Raises ApiError (409) if it stands that way already.

    After the answer, the order is in the brake's history in the ledger.
    """
    if order.engaged == (operations.brake_reason is not None):
        status = "engaged" if order.engaged else "released"
        raise ApiError(HTTPStatus.CONFLICT, f"the brake is {status} already")
    reason = order.reason.strip()
    log.warning(
        "audit: brake %s by %s: %s",
        "engaged" if order.engaged else "released",
        visitor.name,
        reason,
    )
    if order.engaged:
        operations.shim.engage_brake(reason)
    else:
        operations.shim.release_brake(reason)
    await asyncio.to_thread(operations.assembly.records.ledger.flush, _FLUSH)


def read_brake_order(form: Mapping[str, str]) -> BrakeOrder:
    """The order of a form. Raises ApiError (400)."""
    body = {"engaged": form.get("engaged") == "yes", "reason": form.get("reason", "")}
    try:
        return msgspec.convert(body, BrakeOrder)
    except msgspec.ValidationError:
        raise bad_request("A reason of 3 to 500 characters, in one line, is needed.") from None
