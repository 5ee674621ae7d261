"""`shim … --ledger postgresql://…`, `shim ledger`, rights, and what is said of a store that cannot be used."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.postgres.store_connection import connect
from shim.ledger.process_record import FleetPlace
from shim.ledger.run_row import wall_clock
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import S, ledger, run, settled_action, verdict
from tests.postgres.helpers import FLEET, change, look
from tests.postgres.server import PASSWORD, PostgresServer

HOUR = 3600 * S


def shim(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def digest(place: object) -> object:
    """What `shim verdicts` finds, without the stores' own numbers."""
    answer = json.loads(shim("verdicts", "--ledger", place, "--json", "--limit", 1000).output)
    return [{**row, "id": 0, "run": 0} for row in answer["verdicts"]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The ledger of one process, which has ended."""
    with ledger(tmp_path / "one.db") as writer:
        for number in range(12):
            writer.append(verdict(number))
            writer.append(settled_action(number))
    return tmp_path / "one.db"


def test_push_as_often_as_one_likes(store: LedgerUrl, file: Path) -> None:
    first = shim("ledger", "push", file, store.url, "--fleet", FLEET)
    assert first.output == f"24 new rows of 1 runs are in {store}\n"
    assert digest(store.url) == digest(file)
    again = shim("ledger", "push", file, store.url, "--json")
    assert json.loads(again.output) == {"fleet": FLEET, "runs": 1, "rows": 0, "unnumbered": 0}
    with ledger(file, run(wall_clock())) as writer:
        writer.append(verdict(100))
        assert writer.flush(10)
        # The process that writes the file goes on meanwhile.
        assert json.loads(shim("ledger", "push", file, store.url, "--json").output)["rows"] == 1
        writer.append(verdict(101))
    assert json.loads(shim("ledger", "push", file, store.url, "--json").output)["rows"] == 1
    assert digest(store.url) == digest(file)
    assert shim("gate", "--ledger", store.url).exit_code == 3


def test_push_into_an_empty_database(server: PostgresServer, database: str, file: Path) -> None:
    url = server.url(database)
    assert shim("gate", "--ledger", url).exit_code == 2
    assert "has no store yet" in shim("verdicts", "--ledger", url).output
    assert shim("ledger", "push", file, url).exit_code == 0
    assert digest(url) == digest(file)


def test_a_process_behind_makes_the_gate_insufficient(store: LedgerUrl, tmp_path: Path) -> None:
    def condition() -> str:
        answer = json.loads(shim("gate", "--ledger", store.url, "--json").output)
        (record,) = (one for one in answer["conditions"] if one["name"] == "record")
        return str(record["missing"])

    for name in ("a", "b"):
        FleetLedger(
            store, run(wall_clock()), FleetPlace(tmp_path / f"{name}.db", name, FLEET)
        ).close(10)
    change(
        store,
        "INSERT INTO coverage (run, number, connection_kind, since, at, connected, "
        "control_acted, candidate_acted, watched, pings, control_users, candidate_users) "
        f"VALUES (1, 99, 'app', {wall_clock() - 60 * S}, {wall_clock()}, 1, 1, 1, 1, 1, 1, 1)",
    )
    assert condition() == "None"
    change(
        store,
        f"UPDATE process SET ended = false, complete_until = {wall_clock() - 2 * HOUR} "
        "WHERE name = 'b'",
    )
    assert "the record of the process 'b' ends at" in condition()
    output = shim("gate", "--ledger", store.url).output
    assert "the record of b is complete until" in output
    (process,) = json.loads(shim("verdicts", "--ledger", store.url, "--json").output)["processes"][
        1:
    ]
    assert (process["name"], process["alive"]) == ("b", True)
    # It has not been heard of for more than a day: it is not listed as alive any more.
    change(store, f"UPDATE process SET seen_at = {wall_clock() - 25 * HOUR} WHERE name = 'b'")
    assert condition() == "None"


# -- Rights ----------------------------------------------------------------------------------------


@pytest.fixture
def roles(server: PostgresServer, store: LedgerUrl) -> tuple[LedgerUrl, LedgerUrl]:
    """The URLs of a writer and of a reader of the store."""
    database = store.url.rpartition("/")[2]
    names = [f"{kind}_of_{database}" for kind in ("writer", "reader")]
    for name in names:
        server.create_role(name)
    made = shim("ledger", "init", store.url, "--writer", names[0], "--reader", names[1])
    assert made.output == f"{store} is the store of the fleet {FLEET}\n"
    writer, reader = (LedgerUrl(server.url(database, name)) for name in names)
    return writer, reader


def test_a_writer_writes(roles: tuple[LedgerUrl, LedgerUrl], file: Path) -> None:
    writer, _ = roles
    assert shim("ledger", "push", file, writer.url).exit_code == 0
    assert digest(writer.url) == digest(file)
    with (
        psycopg.connect(writer.url) as connection,
        pytest.raises(psycopg.Error, match="permission"),
    ):
        connection.execute("CREATE TABLE shim.another (a INT)")


def test_a_reader_reads_and_nothing_else(
    roles: tuple[LedgerUrl, LedgerUrl], file: Path, tmp_path: Path
) -> None:
    writer, reader = roles
    assert shim("ledger", "push", file, writer.url).exit_code == 0
    assert digest(reader.url) == digest(file)
    assert shim("gate", "--ledger", reader.url).exit_code == 3
    assert (
        shim(
            "retire", "--ledger", reader.url, "--report", tmp_path / "r", "--force", "--reason", "x"
        ).exit_code
        == 0
    )
    with ledger(file) as writing:
        writing.append(verdict(50))
    pushed = shim("ledger", "push", file, reader.url)
    assert pushed.exit_code == 2
    assert "has not the rights" in pushed.output
    with pytest.raises(InputError, match="has not the rights"):
        FleetLedger(reader, run(wall_clock()), FleetPlace(tmp_path / "a.db", "a", FLEET))
    assert not (tmp_path / "a.db").exists()
    for statement in ("DELETE FROM verdict", "UPDATE store SET version = 9", "TRUNCATE run"):
        with (
            closing(connect(reader)) as connection,
            pytest.raises(psycopg.Error, match="permission"),
        ):
            connection.execute(statement.encode())
    assert len(look(reader, "SELECT 1 FROM verdict")) == 12


def test_without_rights_nothing_is_begun(server: PostgresServer, database: str, file: Path) -> None:
    server.create_role("nobody_in_it")
    pushed = shim("ledger", "push", file, server.url(database, "nobody_in_it"))
    assert pushed.exit_code == 2
    assert "has not the rights" in pushed.output
    assert look(LedgerUrl(server.url(database)), "SELECT to_regclass('shim.store')") == [(None,)]


# -- What cannot be used ---------------------------------------------------------------------------

SECRET = "hunter2:%/?#@geheim"


@pytest.mark.parametrize("secret", [SECRET, "kurz", "a b", "ü"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shim:{raw}@127.0.0.1:1/db",
        "postgresql://shim:{quoted}@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=shim&password={quoted}",
        "postgresql://127.0.0.1:1/db?password={raw}&x",
        "postgresql://shim:{quoted}@127.0.0.1:{quoted}/db",
        "postgresql://shim:{quoted}@127.0.0.1:1/db?nonsense={quoted}",
        "postgres://shim:{raw}@nowhere.invalid/db",
        "postgresql:/shim:{raw}@127.0.0.1/db",
    ],
)
def test_no_error_says_a_password(
    url: str, secret: str, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = url.format(raw=secret, quoted=quote(secret, safe=""))
    (tmp_path / "shim.yaml").write_text(f"ledger: {json.dumps(written)}\n")
    monkeypatch.chdir(tmp_path)
    for result in (
        shim("verdicts", "--ledger", written),
        shim("gate", "--ledger", written),
        shim("gate", "--config", "shim.yaml"),
        shim("ledger", "push", file, written),
        shim("ledger", "init", written),
        shim("brake", "status", "--ledger", written),
        shim("doctor", "--config", "shim.yaml"),
    ):
        assert result.exit_code in (1, 2), result.output
        assert "Traceback" not in result.output
        for part in ("hunter2", "geheim", "kurz", "a b@", "a%20b", "%C3%BC", "ü"):
            assert part not in result.output


def test_a_name_that_is_no_text(store: LedgerUrl) -> None:
    """The arguments of a command can have any bytes."""
    name = os.fsdecode(b"caf\xe9")
    for result in (
        shim("ledger", "init", store.url, "--fleet", name),
        shim("ledger", "init", store.url, "--reader", name),
    ):
        assert (result.exit_code, result.stdout) == (2, "")
        assert r"caf\udce9" in result.stderr
        assert "does not answer" not in result.stderr


def test_a_wrong_password(server: PostgresServer, store: LedgerUrl, tmp_path: Path) -> None:
    database = store.url.rpartition("/")[2]
    wrong = LedgerUrl(server.url(database, password="wrong-" + SECRET))
    for result in (shim("gate", "--ledger", wrong.url), shim("ledger", "init", wrong.url)):
        assert result.exit_code == 2
        assert "password authentication failed" in result.output
        assert "wrong-" not in result.output
    with pytest.raises(InputError, match="password authentication failed") as refused:
        FleetLedger(wrong, run(wall_clock()), FleetPlace(tmp_path / "a.db", "a", FLEET))
    assert "wrong-" not in str(refused.value)
    assert not (tmp_path / "a.db").exists()


def test_no_such_database(server: PostgresServer, tmp_path: Path) -> None:
    url = LedgerUrl(server.url("not_there"))
    with pytest.raises(InputError, match='database "not_there" does not exist'):
        FleetLedger(url, run(wall_clock()), FleetPlace(tmp_path / "a.db", "a", FLEET))


def test_a_password_in_a_file_and_a_service(
    server: PostgresServer, store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = store.url.rpartition("/")[2]
    passwords = tmp_path / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passwords.write_text(f"127.0.0.1:{server.port}:*:*:{escaped}\n")
    passwords.chmod(0o600)
    services = tmp_path / "services"
    services.write_text(f"[evidence]\nhost=127.0.0.1\nport={server.port}\ndbname={database}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGUSER", "shim_tests")
    bare = server.url(database, password=None)
    assert shim("verdicts", "--ledger", bare).exit_code == 2
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert shim("verdicts", "--ledger", bare).exit_code == 0
    assert shim("verdicts", "--ledger", "postgresql://?service=evidence").exit_code == 0
    refused = shim("verdicts", "--ledger", f"{bare}?sslmode=require")
    assert refused.exit_code == 2
    assert "SSL" in refused.output


def test_sqlite_imports_nothing_of_postgresql(file: Path) -> None:
    asked = (
        "import sys\nfrom shim.cli import main\n"
        f"try:\n    main(['verdicts', '--ledger', {str(file)!r}, '--json'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert not [name for name in sys.modules if 'psycopg' in name or 'ledger.postgres' in name]"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, stdout=subprocess.DEVNULL)


def test_without_the_extra(file: Path) -> None:
    asked = (
        "import sys\nsys.modules['psycopg'] = None\nfrom shim.cli import main\n"
        "main(['gate', '--ledger', 'postgresql://127.0.0.1:1/x'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the extra `postgres`" in done.stderr
