"""What Shim.open reads, opens and closes, in whatever order things fail."""

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from shim.aio import Shim
from shim.ledger.stores import read_ledger
from shim.model import FlagsLoad, InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import BrakeChanged, Event, Observer, handles
from shim.runtime.secrets import Secrets
from shim.settings.settings import load_settings
from shim.websockets import Shim as WebsocketsShim
from tests.live.servers import QUICK, ROLLOUT, SECRETS
from tests.waiting import until
from tests.web.servers import OPERATOR


class Told(Observer):
    def __init__(self) -> None:
        self.events: list[Event] = []

    @handles(FlagsLoad)
    def _flags(self, load: FlagsLoad) -> None:
        self.events.append(load)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self.events.append(brake)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rollout.yaml").write_text(ROLLOUT.replace("STAGE", "live"))
    path = tmp_path / "shim.yaml"
    path.write_text(f"{QUICK}\nledger: sqlite:///{tmp_path}/shim.db\nconsole: {{port: 0}}\n")
    return path


@pytest.fixture
def older(config: Path) -> Path:
    """The same settings with the older name of the console's listener."""
    text = config.read_text().replace("console: {port: 0}", "")
    config.write_text(text.replace("server: {", "server: {admin: {port: 0}, "))
    return config


def append(config: Path, line: str) -> None:
    with config.open("a") as file:
        file.write(f"\n{line}\n")


@pytest.fixture
def threads() -> Callable[[], set[str]]:
    """The names of the shim's threads that began in this test and run."""
    earlier = {*threading.enumerate()}

    def names() -> set[str]:
        later = {*threading.enumerate()} - earlier
        return {thread.name for thread in later if thread.name.startswith("shim-")}

    return names


def test_opening_opens_nothing(config: Path, threads: Callable[[], set[str]]) -> None:
    before = set(config.parent.iterdir())
    shim = Shim.open(str(config), secrets=SECRETS)
    shim.console()
    assert set(config.parent.iterdir()) == before
    assert not threads()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = shim.assembly.records


def test_the_secrets_come_from_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SHIM_OPERATOR_TOKEN", "SHIM_HASH_KEY", "SHIM_JWT_SECRET", "SHIM_VIEWER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError) as caught:
        Shim.open(config)
    assert str(caught.value) == "SHIM_OPERATOR_TOKEN is not set\nSHIM_HASH_KEY is not set"
    token, key = "the operator's token", "the key of the pseudonyms"
    monkeypatch.setenv("SHIM_OPERATOR_TOKEN", token)
    monkeypatch.setenv("SHIM_HASH_KEY", key)
    assert WebsocketsShim.open(config).assembly.secrets == Secrets("", token, key)


def test_mistakes_are_told_with_their_places(config: Path) -> None:
    config.write_text("monitors:\n  candidate: {timeout: 45}\nledgre: x\nconsole: {host: '::1'}\n")
    with pytest.raises(InputError) as caught:
        Shim.open(config, secrets=SECRETS)
    told = str(caught.value)
    assert f"{config}:2:" in told
    assert "monitors.candidate.timeout" in told
    assert f"{config}:3:1: ledgre: " in told
    assert f"{config}:4:1: console: a host alone makes no listener: a port is needed, too" in told


@pytest.mark.parametrize("path", ["ops", "/ops/", "//ops", "/a/../b", "'/a\"b'", "/ops?x"])
def test_a_base_path_is_a_plain_path(config: Path, path: str) -> None:
    config.write_text(f"rollout: null\nconsole: {{base_path: {path}}}\n")
    with pytest.raises(InputError, match=r"console\.base_path: must be a path like /ops"):
        Shim.open(config, secrets=SECRETS)


@pytest.mark.real
async def test_what_was_opened_is_closed_when_the_start_fails_half_way(
    config: Path, threads: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = Shim.open(config, secrets=SECRETS)

    def fail(*_: object, **__: object) -> None:
        raise OSError("a failing start")

    with monkeypatch.context() as patched:
        # The flags file's watcher comes after ledger, traces and monitors.
        patched.setattr("shim.rollout.watcher.Watcher.start", fail)
        with pytest.raises(OSError, match="a failing start"):
            async with shim.running():
                raise AssertionError("it started")
    assert not threads()
    assert shim.console_url is None
    # The ledger is free for the next one.
    async with Shim.open(config, secrets=SECRETS).running() as another:
        assert another.console_url is not None
    assert not threads()


@pytest.mark.real
async def test_a_second_start_is_refused(config: Path) -> None:
    shim = Shim.open(config, secrets=SECRETS)
    async with shim.running():
        with pytest.raises(RuntimeError, match="started before"):
            async with shim.running():
                raise AssertionError("it started twice")
        assert shim.assembly.records.ledger.flush(10)
    with pytest.raises(RuntimeError, match="started before"):
        async with shim.running():
            raise AssertionError("it started again")


@pytest.mark.real
async def test_a_service_that_fails_still_closes_everything(
    config: Path, threads: Callable[[], set[str]]
) -> None:
    shim = Shim.open(config, secrets=SECRETS)

    async def serve() -> None:
        async with shim.running():
            shim.engage_brake("before the failure")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve()
    assert not threads()
    brake = read_ledger(shim.settings.ledger).brake()
    assert brake is not None
    assert (brake.engaged, brake.reason) == (True, "before the failure")


@pytest.mark.real
async def test_observers_of_the_service_are_told(config: Path) -> None:
    told = Told()
    shim = Shim.open(config, secrets=SECRETS, observers=[told])
    async with shim.running():
        shim.engage_brake("a test")
    load, brake = told.events
    assert isinstance(load, FlagsLoad)
    assert isinstance(brake, BrakeChanged)
    assert (load.file, brake.reason) == (str(config.parent / "rollout.yaml"), "a test")


@pytest.mark.real
async def test_the_older_name_of_the_listener_works_with_a_warning(
    older: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "shim"):
        async with (
            Shim.open(older, secrets=SECRETS).running() as shim,
            aiohttp.ClientSession() as http,
        ):
            assert shim.console_url is not None
            async with http.get(f"{shim.console_url}/api/report", headers=OPERATOR) as answer:
                assert answer.status == 401  # the token of other servers
            async with http.get(f"{shim.console_url}/readyz") as answer:
                assert answer.status == 200
    assert "`server.admin` is an older name" in caplog.text
    assert "console" in caplog.text


@pytest.mark.real
async def test_a_service_that_forgets_to_start_the_shim_is_told(config: Path) -> None:
    """Else no monitor would watch its connections (R4)."""
    shim, told = Shim.open(config, secrets=SECRETS), []

    async def handler(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        with pytest.raises(RuntimeError, match=r"has not been started.*cleanup_ctx") as error:
            shim.register_app_connection(websocket, "u", "u", "com.example.app1")
        told.append(str(error.value))
        return websocket

    app = web.Application()
    app.router.add_get("/app", handler)
    app.add_subapp("/shim", shim.console())
    token = {"Authorization": f"Bearer {SECRETS.operator_token}"}
    async with TestClient(TestServer(app)) as client:
        async with client.ws_connect("/app") as websocket:
            await websocket.receive()
        for path in ("/", "/readyz", "/metrics", "/api/report"):
            async with client.get(f"/shim{path}", headers=token) as answer:
                assert (answer.status, (await answer.json())["detail"]) == (503, *told), path
        async with client.get("/shim/healthz") as answer:
            assert answer.status == 200
    assert not shim.sessions


@pytest.mark.real
async def test_a_service_on_websockets_that_forgets_to_start_the_shim_is_told(
    config: Path,
) -> None:
    shim, told = WebsocketsShim.open(config, secrets=SECRETS), []

    async def handler(websocket: ServerConnection) -> None:
        with pytest.raises(RuntimeError, match=r"has not been started.*async with shim") as error:
            shim.register_glasses_connection(websocket, "u", "u")
        told.append(error)

    async with serve(handler, "127.0.0.1", 0, **shim.options) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            await client.wait_closed()
    assert told


@pytest.fixture(params=["both monitors", "retired"])
def impatient(config: Path, request: pytest.FixtureRequest) -> Path:
    """The same settings with a pause threshold that is longer than the candidate's timeout."""
    text = config.read_text().replace("stall_threshold: 500ms", "stall_threshold: 2s")
    if request.param == "retired":
        text = re.sub("^  control: .*", "  control: null", text, flags=re.MULTILINE)
    config.write_text(text)
    return config


async def test_pauses_that_are_taken_for_silence_are_a_warning_at_the_start(
    impatient: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "shim"):
        async with Shim.open(impatient, secrets=SECRETS).running():
            pass
    assert "takes pauses of the server of up to 2s for silence" in caplog.text


def test_parts_have_no_console() -> None:
    settings = load_settings(None, monitor_types(plugin_manager()))
    shim = Shim(settings, lambda user: (_ for _ in ()).throw(AssertionError))
    with pytest.raises(RuntimeError, match=r"Shim\.open has the rest"):
        shim.console()


@pytest.mark.real
async def test_the_end_does_not_hold_up_the_event_loop(
    config: Path, threads: Callable[[], set[str]]
) -> None:
    """A collector that does not answer is waited for, while the service's other ends go on."""
    with socket.create_server(("127.0.0.1", 0)) as collector:  # it accepts nothing
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
        telemetry = f"telemetry: {{endpoint: '{endpoint}', protocol: http, timeout: 1s}}"
        append(config, telemetry)
        shim = Shim.open(config, secrets=SECRETS)
        app = web.Application()
        app.cleanup_ctx.append(shim.lifespan)
        runner = web.AppRunner(app)
        await runner.setup()
        shim.engage_brake("there is a span to deliver")
        turns, ending = 0, asyncio.create_task(runner.cleanup())
        while not ending.done():
            turns += 1
            await asyncio.wait([ending], timeout=0.01)
        await ending
        await until(lambda: not threads())
    assert turns > 10
