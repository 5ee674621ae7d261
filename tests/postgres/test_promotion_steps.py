"""R26: a step of the plan is taken once for a fleet, and never on what is in force no more."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

from shim.flags.targeting import Percentages
from shim.ledger.postgres.shipment import note_run
from shim.ledger.postgres.store_connection import connect
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.rows import BrakeRow
from shim.ledger.stores import fleet_store
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.changes import Change
from shim.rollout.flags_place import ChangedMeanwhileError, FlagsStorePlace
from shim.rollout.promotion import advance_by_itself, prepare, put_in_place
from shim.rollout.promotion_facts import facts_from
from shim.rollout.promotion_plan import Facts
from shim.settings.flags_file import parse_flags
from shim.settings.settings import load_settings
from tests.ledger.helpers import run
from tests.live.servers import ROLLOUT
from tests.postgres.helpers import insert_row
from tests.rollout.test_plan import GOOD, STEPS

PROCESSES = 6
TEXT = ROLLOUT.replace("STAGE", '"off"')


@pytest.fixture(autouse=True)
def begun(store: LedgerUrl) -> None:
    fleet_store(store).push_flags(TEXT, who="ann", reason="begin")


def advance(store: LedgerUrl, meanwhile: Callable[[], object]) -> Change | None:
    """A process takes the next step by itself; something happens after it has looked."""

    def facts(digest: str) -> Facts:
        meanwhile()
        return GOOD

    return advance_by_itself(FlagsStorePlace(store), STEPS, facts)


def widths(store: LedgerUrl) -> list[Percentages]:
    """Those of all versions, the newest first."""
    versions = fleet_store(store).list_flags(10)
    return [parse_flags(one.text.encode(), "store").percent for one in versions]


def test_of_processes_that_look_at_once_one_takes_the_step(store: LedgerUrl) -> None:
    all_have_looked = Barrier(PROCESSES)
    with ThreadPoolExecutor(PROCESSES) as pool:
        taken = list(pool.map(lambda _: advance(store, all_have_looked.wait), range(PROCESSES)))
    assert sum(change is not None for change in taken) == 1
    assert widths(store) == [STEPS[0].percent, Percentages()]


def test_who_stood_still_does_not_repeat_a_step_that_was_taken_back(store: LedgerUrl) -> None:
    """The content is what it was looked at; why it is, nobody has looked at."""

    def step_and_back() -> None:
        assert advance(store, lambda: None) is not None
        fleet_store(store).push_flags(TEXT, who="ann", reason="too early")

    assert advance(store, step_and_back) is None
    assert widths(store) == [Percentages(), STEPS[0].percent, Percentages()]


@pytest.mark.parametrize("released", [False, True])
def test_who_stood_still_takes_no_step_after_the_brake(store: LedgerUrl, released: bool) -> None:
    def brake() -> None:
        fleet_store(store).order_brake(engaged=True, reason="kills", who="ann")
        if released:
            fleet_store(store).order_brake(engaged=False, reason="mended", who="ann")

    assert advance(store, brake) is None
    assert len(fleet_store(store).list_flags(10)) == 1
    # The next look is at what is in force now.
    assert advance(store, lambda: None) is not None


def test_an_order_is_in_force_before_a_process_has_recorded_it(store: LedgerUrl) -> None:
    settings = load_settings(None, monitor_types(plugin_manager()))
    with closing(PostgresReader(store)) as reader, closing(connect(store)) as connection:

        def brake() -> str | None:
            return facts_from(reader, settings, "b", 0).brake

        assert brake() is None
        fleet_store(store).order_brake(engaged=True, reason="kills", who="ann")
        assert reader.brake() is None
        assert brake() == "kills"
        run_id = note_run(connection, run(0), 0).id
        insert_row(connection, run_id, 1, BrakeRow(True, "kills", 0))
        fleet_store(store).order_brake(engaged=False, reason="mended", who="ann")
        assert reader.brake() is not None
        assert brake() is None


def test_a_person_is_told_that_something_has_changed(store: LedgerUrl) -> None:
    promotion = prepare(FlagsStorePlace(store), STEPS, lambda digest: GOOD)
    fleet_store(store).order_brake(engaged=True, reason="kills", who="bob")
    with pytest.raises(ChangedMeanwhileError, match="or the fleet's brake: has changed meanwhile"):
        put_in_place(promotion, "ann", "because")
