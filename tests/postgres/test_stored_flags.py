"""R26: the flags in the store of a fleet."""

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.fleet.stored_flags import StoredFlags
from shim.ledger.postgres import flags_versions
from shim.ledger.postgres.brake_orders import give_order
from shim.ledger.postgres.flags_versions import add_version
from shim.ledger.rows import FlagsRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.stores import fleet_store
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.changes import Change, find_change
from shim.rollout.flags_place import FlagsStorePlace
from shim.settings.flags_file import UNKNOWN_FLAGS
from shim.settings.settings import settings_from
from tests.live.servers import ROLLOUT, ServerProcess
from tests.postgres.helpers import Store, eventually, process_of
from tests.postgres.server import PostgresServer

LIVE, SHADOW = (ROLLOUT.replace("STAGE", f'"{stage}"') for stage in ("live", "shadow"))


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# -- Versions --------------------------------------------------------------------------------------


def test_the_last_version_is_in_force(store: LedgerUrl) -> None:
    assert fleet_store(store).pull_flags() is None
    first = fleet_store(store).push_flags(SHADOW, who="ann", reason="begin")
    assert (first.in_force, first.version.text, first.version.before) == (True, SHADOW, None)
    second = fleet_store(store).push_flags(LIVE, who="bob", reason="go", before=digest(SHADOW))
    assert second.version.before == digest(SHADOW)
    assert fleet_store(store).pull_flags() == second.version
    # Somebody who looked at other flags changes nothing.
    late = fleet_store(store).push_flags(SHADOW, who="cid", reason="late", before=digest(SHADOW))
    assert (late.in_force, late.version) == (False, second.version)
    # The same content is no new version.
    assert fleet_store(store).push_flags(LIVE, who="cid", reason="again").version == second.version
    assert [version.who for version in fleet_store(store).list_flags(10)] == ["bob", "ann"]


def test_a_place_in_the_store(store: LedgerUrl) -> None:
    place = FlagsStorePlace(store)
    with pytest.raises(InputError, match="flags push"):
        place.read()
    fleet_store(store).push_flags(SHADOW, who="ann", reason="begin")
    assert place.read() == SHADOW.encode()
    change = Change("now", "ann", "go", digest(SHADOW), digest(LIVE))
    place.replace(SHADOW.encode(), LIVE.encode(), change)
    assert place.read() == LIVE.encode()
    with pytest.raises(InputError, match="changed meanwhile"):
        place.replace(SHADOW.encode(), LIVE.encode() + b"\n", change)


def test_r25_r26_a_step_is_not_taken_if_the_brake_is_engaged_at_the_last_moment(
    store: LedgerUrl, connection: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line to the store is slow: an order comes after the last order was asked for."""
    fleet_store(store).push_flags(SHADOW, who="ann", reason="begin")
    seen = fleet_store(store).look_at_flags()
    asked = flags_versions.in_force

    def engaged_after(line: Store) -> Any:
        answer = asked(line)
        give_order(connection, engaged=True, reason="kills", process="p2")
        return answer

    monkeypatch.setattr(flags_versions, "in_force", engaged_after)
    step = fleet_store(store).push_flags(LIVE, who="p1", reason="step", seen=seen)
    assert (step.in_force, step.version.text) == (False, SHADOW)
    assert [version.who for version in fleet_store(store).list_flags(10)] == ["ann"]
    # A person who brings flags, whatever is in force, is not held up by the brake.
    assert fleet_store(store).push_flags(LIVE, who="bob", reason="prepare").in_force


def test_the_mirror_follows(connection: Store, tmp_path: Path) -> None:
    mirror = tmp_path / "rollout.yaml"
    mirror.write_text(UNKNOWN_FLAGS)
    duty = StoredFlags(mirror)
    duty.attend(connection)
    assert mirror.read_text() == UNKNOWN_FLAGS
    add_version(connection, SHADOW, who="ann", reason="begin")
    duty.attend(connection)
    assert mirror.read_text() == SHADOW
    change = find_change(mirror, digest(SHADOW))
    assert change is not None
    assert (change.by, change.reason, change.before) == ("ann", "begin", digest(UNKNOWN_FLAGS))
    # Another process of this outbox finds that nothing is to be done.
    before = mirror.stat()
    StoredFlags(mirror).attend(connection)
    assert mirror.stat() == before


def test_a_mirror_that_cannot_be_written_is_told_once(
    connection: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full, say: the version is tried again three times a second."""
    mirror = tmp_path / "gone" / "rollout.yaml"
    duty = StoredFlags(mirror)
    add_version(connection, SHADOW, who="ann", reason="begin")
    for _ in range(3):
        duty.attend(connection)
    mirror.parent.mkdir()
    mirror.write_text(UNKNOWN_FLAGS)
    duty.attend(connection)
    assert mirror.read_text() == SHADOW
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# -- Settings --------------------------------------------------------------------------------------


def test_flags_in_the_store_need_a_store() -> None:
    types = monitor_types(plugin_manager())
    with pytest.raises(InputError, match="needs the store of a fleet"):
        settings_from({"rollout": "ledger"}, types)
    settings = settings_from(
        {"rollout": "ledger", "ledger": "postgresql://h/d", "outbox": "x/outbox.db"}, types
    )
    assert settings.flags_path == Path("x/outbox.db-rollout.yaml")


# -- The commands ----------------------------------------------------------------------------------


def flags(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["flags", *arguments])


def test_push_pull_and_log(store: LedgerUrl, tmp_path: Path) -> None:
    file, place = tmp_path / "rollout.yaml", ("--ledger", store.url)
    nothing = flags("pull", *place)
    assert (nothing.exit_code, "has no flags yet" in nothing.stderr) == (2, True)
    file.write_text(SHADOW)
    done = flags("push", str(file), "--reason", "begin [bold]", *place)
    assert done.exit_code == 0, done.stderr
    assert f"digest {digest(SHADOW)[:12]}" in done.stdout
    assert flags("pull", *place).stdout == SHADOW
    file.write_text(LIVE)
    refused = flags("push", str(file), "--reason", "go", "--if-digest", digest(LIVE)[:8], *place)
    assert refused.exit_code == 1
    assert "nothing is changed" in refused.stdout
    done = flags("push", str(file), "--reason", "go", "--if-digest", digest(SHADOW)[:8], *place)
    assert done.exit_code == 0
    other = tmp_path / "other.yaml"
    assert flags("pull", str(other), *place).exit_code == 0
    assert other.read_text() == LIVE
    listed = flags("log", *place)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["version", "2", "1"]
    assert "begin [bold]" in listed.stdout
    (second, first) = json.loads(flags("log", "--json", *place).stdout)
    assert (first["reason"], second["before"]) == ("begin [bold]", digest(SHADOW))
    assert store.secrets[0] not in done.stdout + listed.stdout


def test_a_bad_file_gets_nowhere(store: LedgerUrl, tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(SHADOW.replace("...\n", ""))
    done = flags("push", str(file), "--reason", "r", "--ledger", store.url)
    assert done.exit_code == 2
    assert f"{file}:" in done.stderr
    assert fleet_store(store).pull_flags() is None
    file.write_text(SHADOW)
    assert flags("push", str(file), "--reason", " ", "--ledger", store.url).exit_code == 2
    assert flags("push", str(file), "--reason", "r").exit_code == 2
    sqlite = flags("push", str(file), "--reason", "r", "--ledger", str(tmp_path / "x.db"))
    assert sqlite.exit_code == 2
    assert "needs the store of a fleet" in sqlite.stderr


def test_the_flags_commands_read_the_store(store: LedgerUrl, tmp_path: Path) -> None:
    config = tmp_path / "shim.yaml"
    config.write_text(f"ledger: {json.dumps(store.url)}\nrollout: ledger\n")
    assert flags("check", "--config", str(config)).exit_code == 2
    fleet_store(store).push_flags(LIVE, who="ann", reason="begin")
    answer = json.loads(flags("explain", "u1", "--config", str(config), "--json").stdout)
    assert answer["stage"] == "live"


# -- Real processes --------------------------------------------------------------------------------


async def digest_of(process: ServerProcess) -> str:
    found: str = (await process.report())["flags"]["digest"]
    return found


@pytest.mark.real
async def test_two_processes_follow_the_store_and_start_without_it(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with AsyncExitStack() as stack:
            started = [
                stack.enter_async_context(process_of(tmp_path, store, name, rollout="ledger"))
                for name in "ab"
            ]
            a, b = await asyncio.gather(*started)
            assert await digest_of(a) == digest(UNKNOWN_FLAGS)
            for text, why in ((SHADOW, "begin"), (LIVE, "go")):
                fleet_store(store).push_flags(text, who="ann", reason=why)
                for process in (a, b):
                    await eventually(partial(digest_of, process), (digest(text),))
        server.kill()
        async with process_of(tmp_path, store, "a", rollout="ledger") as a:
            assert await digest_of(a) == digest(LIVE)
            server.start()
            fleet_store(store).push_flags(SHADOW, who="bob", reason="back")
            await eventually(partial(digest_of, a), (digest(SHADOW),))
    loads = SqliteReader(tmp_path / "a" / "outbox.db").rows(FlagsRow)
    assert [(load.by, load.reason) for load in reversed(loads)][1:] == [
        ("ann", "begin"),
        ("ann", "go"),
        ("ann", "go"),
        ("bob", "back"),
    ]
