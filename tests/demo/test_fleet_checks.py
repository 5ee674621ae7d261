"""What decides whether the demo of a fleet went as it has to."""

from collections import Counter
from dataclasses import replace

import pytest

from shim.demo.client_history import ClientHistory
from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.demo.demo_fleet import PROCESSES, FleetFacts, fleet_clients
from shim.demo.fleet_checks import BY_THE_FLEET, FleetRollout, check_fleet
from shim.ledger.fleet_record import ALONE, FleetOrder
from shim.ledger.protocols import VerdictCounts
from shim.model import Kind

ERRORS = "no unexpected errors"
BRAKE = "the record of all three engages the brake once"
RETURNS = "a client that comes back has come back, to whichever process"
NOTHING = FleetRollout(
    steps=[],
    progress=[],
    histories=[],
    facts=FleetFacts(ALONE, VerdictCounts(Counter(), Counter(), Counter()), []),
    orders=[],
    versions=[],
    brake_lines=[],
    errors=[],
)
ENGAGED, RELEASED = (
    FleetOrder(engaged=engaged, reason="5 of 50", process="first", at=1)
    for engaged in (True, False)
)


def failed(rollout: FleetRollout) -> set[str]:
    return {check.wanted for check in check_fleet(rollout) if not check.ok}


def test_nothing_at_all_is_no_success() -> None:
    assert failed(NOTHING) == {check.wanted for check in check_fleet(NOTHING)} - {ERRORS}
    assert ERRORS in failed(replace(NOTHING, errors=["the clients' process ended"]))


@pytest.mark.parametrize(
    ("orders", "lines", "good"),
    [
        ([RELEASED, ENGAGED], [BY_THE_FLEET], True),
        ([RELEASED, ENGAGED], [], False),
        ([ENGAGED], [BY_THE_FLEET], False),
        ([RELEASED, ENGAGED, RELEASED, ENGAGED], [BY_THE_FLEET] * 2, False),
    ],
)
def test_the_brake(orders: list[FleetOrder], lines: list[str], good: bool) -> None:
    rollout = replace(NOTHING, orders=orders, brake_lines=lines)
    assert (BRAKE not in failed(rollout)) is good


def test_a_return_that_the_store_does_not_have() -> None:
    """One may be on its way."""
    history = ClientHistory(ClientSpec("u", Kind.APP, ClientBehaviour.SDK))
    rollout = replace(NOTHING, histories=[history])
    for again, good in ((1, True), (2, False)):
        history.add({"event": "open", "process": 0})
        history.add({"event": "end", "how": "1006", "answering": False})
        history.add({"event": "open", "process": again % 2})
        assert (RETURNS not in failed(rollout)) is good


def test_each_process_has_one_user_who_pauses() -> None:
    pausing = [one for one in fleet_clients(36) if one.behaviour is ClientBehaviour.PAUSING]
    assert [one.home for one in pausing] == [*range(len(PROCESSES))]
    assert len({one.user for one in pausing}) == len(PROCESSES)
