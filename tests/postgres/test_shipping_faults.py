"""R23: rows are in the store once, whatever fails: the process, the server or the line."""

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest

from shim.compare.fleet_outcomes import Conclusion, FleetAction, FleetOpening
from shim.compare.fleet_returns import ToldOpening
from shim.ledger.postgres import shipper, store_schema
from shim.ledger.postgres.conclusions import write_conclusions
from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.openings import tell_openings
from shim.ledger.postgres.shipment import note_run, ship_group
from shim.ledger.postgres.store_connection import connect, end_left_behind
from shim.ledger.rows import ActionRow, VerdictRow
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.outbox import Outbox
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Connection, Kind, Return
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import ledger, run, settled_action, verdict
from tests.postgres.helpers import FLEET, Store, change, look
from tests.postgres.server import PostgresServer
from tests.postgres.shipping_process import connections, process
from tests.waiting import wait_for

DEATHS = 6


def test_trouble_of_the_store_is_no_refusal(store: LedgerUrl, tmp_path: Path) -> None:
    """A store that cannot write at the moment, as with a full disk: rows wait until it can again."""
    with process(store, tmp_path / "a.db") as ledger:
        change(
            store,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT ON verdict EXECUTE FUNCTION full_disk()",
        )
        for number in range(10):
            ledger.append(verdict(number))
        wait_for(lambda: "No space left" in (ledger.status().store.problem or ""))  # type: ignore[union-attr]
        assert ledger.status().store.waiting == 10  # type: ignore[union-attr]
        change(store, "DROP TRIGGER full_disk ON verdict")
        wait_for(lambda: ledger.status().store.waiting == 0)  # type: ignore[union-attr]
    assert connections(store) == [f"c{number}" for number in range(10)]


WORK = """
import sys
from pathlib import Path
from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.process_record import FleetPlace
from shim.ledger.run_row import wall_clock
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import run, verdict

url, outbox, first = sys.argv[1:]
ledger = FleetLedger(LedgerUrl(url), run(wall_clock()), FleetPlace(Path(outbox), "p", "tests"))
number = int(first)
while True:
    for number in range(number, number + 50):
        ledger.append(verdict(number))
    assert ledger.flush(30)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.real
def test_killed_at_any_moment(store: LedgerUrl, tmp_path: Path) -> None:
    """Each row that was acknowledged is in the store once, in order."""
    chance, outbox, next_number = random.Random(7), tmp_path / "p.db", 0
    for _ in range(DEATHS):
        command = [sys.executable, "-c", WORK, store.url, str(outbox), str(next_number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            for _ in range(chance.randrange(1, 8)):
                acknowledged = int(worker.stdout.readline())
            worker.kill()
            rest = worker.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        # The last group may have been committed without an acknowledgement.
        next_number = acknowledged + 1000
    with process(store, outbox):
        pass
    kept = [row.connection for row in reversed(SqliteReader(outbox).rows(VerdictRow, limit=10**6))]
    assert connections(store) == kept
    assert len(kept) == len(set(kept))


@pytest.mark.real
@pytest.mark.parametrize("fault", ["killed", "restarted", "frozen"])
def test_the_server_fails(fault: str, tmp_path: Path) -> None:
    """Rows go on all the time; in the end each is there once."""
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        number = 0
        with process(store, tmp_path / "a.db") as ledger:
            for _ in range(2):
                for _ in range(500):
                    number += 1
                    ledger.append(verdict(number))
                    ledger.append(settled_action(number, result=None))
                if fault == "frozen":
                    with server.frozen():
                        for _ in range(500):
                            number += 1
                            ledger.append(verdict(number))
                        assert ledger.flush(30)
                else:
                    (server.kill if fault == "killed" else server.stop)()
                    assert ledger.flush(30)
                    server.start()
            wait_for(lambda: ledger.status().store.waiting == 0)  # type: ignore[union-attr]
        kept = SqliteReader(tmp_path / "a.db").rows(VerdictRow, limit=10**6)
        assert len(kept) == number
        assert connections(store) == [row.connection for row in reversed(kept)]
        actions = len(SqliteReader(tmp_path / "a.db").rows(ActionRow, limit=10**6))
        assert look(store, "SELECT count(*) FROM action") == [(actions,)]


class Proxy:
    """Between a process and its store: a line that can be cut, with or without a word."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lines: list[socket.socket] = []
        self._silent = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every line."""
        lines, self._lines = self._lines, []
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def silence(self, silent: bool) -> None:
        """Pass nothing on, and say nothing of it."""
        (self._silent.set if silent else self._silent.clear)()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._lines += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(4096):
                if not self._silent.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.real
def test_the_connection_is_cut(
    server: PostgresServer, store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut 20 times at random moments, and silent twice: what was on its way is there once."""
    monkeypatch.setattr(shipper, "_LONGEST_STEP", 1.0)
    proxy, chance = Proxy(server.port), random.Random(3)
    line = LedgerUrl(store.url.replace(f":{server.port}/", f":{proxy.port}/"))
    number = 0
    with process(line, tmp_path / "a.db") as ledger:
        for round in range(20):
            proxy.silence(round in (5, 12))
            for _ in range(chance.randrange(200, 2000)):
                number += 1
                ledger.append(verdict(number))
            assert ledger.flush(30)
            proxy.cut()
        proxy.silence(False)
        proxy.cut()
        wait_for(lambda: ledger.status().store.waiting == 0)  # type: ignore[union-attr]
    proxy.close()
    assert connections(store) == [f"c{place + 1}" for place in range(number)]


@pytest.mark.parametrize("how", ["copy", "pipeline", "executemany"])
def test_what_a_silent_line_left_in_a_transaction_holds_nobody_up(
    store: LedgerUrl, tmp_path: Path, how: str
) -> None:
    """The server waits for more, with the locks of the run: the line is up, and nothing comes."""
    own = run(wall_clock())
    with process(store, tmp_path / "a.db", own):
        pass
    left, another, ours = connect(store), connect(store), connect(store)
    with closing(left), closing(another), closing(ours), ExitStack() as stack:
        stack.enter_context(suppress(psycopg.OperationalError))
        stack.enter_context(left.transaction())
        left.execute("SELECT id FROM run WHERE uuid = %s FOR UPDATE", (own.uuid,))
        if how == "copy":
            stack.enter_context(left.cursor().copy("COPY verdict FROM STDIN"))
        elif how == "pipeline":
            stack.enter_context(left.pipeline())
            left.execute("SELECT 1")
            left.pgconn.send_flush_request()
            left.pgconn.flush()
        else:
            left.cursor().executemany("SELECT %s", [(1,), (2,)])
        wait_for(lambda: _waits_for_client(store, left))
        end_left_behind(ours)
        assert _waits_for_client(store, left)
        end_left_behind(ours, after=0)
        with at_most(30, ours):
            assert note_run(ours, own, 0).last_number == 0
        assert another.execute("SELECT 1").fetchone() == (1,)


def _waits_for_client(store: LedgerUrl, one: Store) -> bool:
    asked = "SELECT state <> 'idle', wait_event FROM pg_stat_activity WHERE pid = "
    return look(store, f"{asked}{one.info.backend_pid}") == [(True, "ClientRead")]


def _ship(connection: Store, outbox: Outbox) -> None:
    (own,) = outbox.runs()
    assert ship_group(connection, outbox, own, 0).last_number == 1


def _tell(connection: Store, outbox: Outbox) -> None:
    client = Connection("c", Kind.APP, "u", "s", "p")
    opening = ToldOpening(client, opened_at=1, closed_at=None)
    tell_openings(connection, 1, [opening], [], told_until=1, seen_action=1)


def _conclude(connection: Store, outbox: Outbox) -> None:
    key = ("1", "c0")
    action = FleetAction(key=key, acted_at=1, last_activity=1, window_ends=1)
    opening = FleetOpening(key=key, opened_at=2)
    returned = Conclusion(action, Return.RETURNED, at=2, delay=1, opening=opening)
    write_conclusions(connection, [returned], {key: 1}, None, 0)


@pytest.mark.parametrize("write", [_ship, _tell, _conclude])
def test_the_server_goes_on_to_count_idle_time_after_many_rows(
    store: LedgerUrl, tmp_path: Path, write: Callable[[Store, Outbox], None]
) -> None:
    """After a Flush it does not: a line that falls silent then, and stays up, leaves the locks for ever."""
    with ledger(tmp_path / "a.db") as written:
        written.append(settled_action())
    sent = tmp_path / "sent"
    with closing(connect(store)) as connection, sent.open("w") as trace:
        store_schema.prepare(connection, FLEET, "here")
        connection.pgconn.trace(trace.fileno())
        write(connection, Outbox(tmp_path / "a.db"))
        connection.pgconn.untrace()
    assert "Sync" in sent.read_text()
    assert "Flush" not in sent.read_text()
