"""The manifests of examples/kubernetes: by their schemas, by their own references, and with a real process."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import kubernetes_validate
import pytest
import yaml

from shim.ledger.run_row import wall_clock
from shim.ledger.stores import read_ledger
from shim.model import Stage, seconds
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.secrets import SHORTEST
from shim.settings.flags_file import parse_flags
from shim.settings.settings import Settings, load_settings
from tests.live.servers import token
from tests.postgres.server import PostgresServer

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
ENDING = 15.0
"""Seconds that the end of a process may take besides `server.drain`: requests, returns, the outbox."""


def _manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


ALL = {(one["kind"], one["metadata"]["name"]): one for one in _manifests()}
PODS = ALL["StatefulSet", "shim"]["spec"]
POD = PODS["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS_TEXT = ALL["ConfigMap", "shim-settings"]["data"]["shim.yaml"]
SETTINGS = yaml.safe_load(SETTINGS_TEXT)
FLAGS = ALL["ConfigMap", "shim-flags"]["data"]["rollout.yaml"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


def settings_in(folder: Path, **changes: Any) -> Settings:
    """The settings of the ConfigMap, as a pod reads them, or with changes."""
    file = folder / "shim.yaml"
    file.write_text(yaml.safe_dump({**SETTINGS, **changes}) if changes else SETTINGS_TEXT)
    return load_settings(file, monitor_types(plugin_manager()))


@pytest.mark.parametrize("manifest", ALL.values(), ids=lambda one: "-".join(kind_and_name(one)))
def test_each_manifest_is_valid(manifest: dict[str, Any]) -> None:
    assert manifest["metadata"]["namespace"] == "shim"
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def kind_and_name(manifest: dict[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def test_the_settings_and_the_flags_are_valid(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert settings.console_address is not None
    assert {"sockets": settings.server.port, "console": settings.console_address.port} == PORTS
    assert settings.console_address.host == "0.0.0.0"
    assert settings.server.host == "0.0.0.0"
    assert parse_flags(FLAGS.encode(), "rollout.yaml").evaluate("nobody").stage in (
        Stage.OFF,
        Stage.SHADOW,
    )


def test_a_pod_has_the_files_that_its_settings_name() -> None:
    places = {mount["name"]: Path(mount["mountPath"]) for mount in CONTAINER["volumeMounts"]}
    sources = {volume["name"]: volume["configMap"]["name"] for volume in POD["volumes"]}
    (claim,) = PODS["volumeClaimTemplates"]
    assert {*sources, claim["metadata"]["name"]} == set(places)
    assert Path(SETTINGS["outbox"]).parent == places[claim["metadata"]["name"]]
    (config,) = (arg.partition("=")[2] for arg in CONTAINER["args"] if arg.startswith("--config"))
    for file, volume in ((config, "settings"), (SETTINGS["rollout"], "flags")):
        assert Path(file).parent == places[volume]
        assert Path(file).name in ALL["ConfigMap", sources[volume]]["data"]
    ca = re.search(r"sslrootcert=([^&]+)", SETTINGS["ledger"])
    assert ca is not None
    assert Path(ca[1]).parent == places["ca"]
    job = ALL["Job", "shim-ledger-init"]["spec"]["template"]["spec"]["containers"][0]
    assert {mount["mountPath"] for mount in job["volumeMounts"]} == {str(places["ca"])}
    assert any(ca[0] in argument for argument in job["args"])
    assert f"--fleet={SETTINGS['fleet']}" in job["args"]
    user = re.match(r"postgresql://(\w+)@", SETTINGS["ledger"])
    assert user is not None
    assert f"--writer={user[1]}" in job["args"]


def test_everything_finds_the_pods() -> None:
    labels = PODS["template"]["metadata"]["labels"]
    assert PODS["selector"]["matchLabels"] == labels
    (spread,) = POD["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    assert ALL["PodDisruptionBudget", "shim"]["spec"]["selector"]["matchLabels"] == labels
    policy = ALL["NetworkPolicy", "shim"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == set(PORTS)
    services = {name: one["spec"] for (kind, name), one in ALL.items() if kind == "Service"}
    assert PODS["serviceName"] in services
    for service in services.values():
        assert service["selector"] == labels
        assert {
            port["targetPort"]: port["port"] for port in service["ports"]
        }.items() <= PORTS.items()
    for (kind, _), ingress in ALL.items():
        for rule in ingress["spec"]["rules"] if kind == "Ingress" else ():
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                named = {port["name"] for port in services[backend["name"]]["ports"]}
                assert backend["port"]["name"] in named


def test_a_pod_has_the_time_that_its_end_takes(tmp_path: Path) -> None:
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + seconds(settings_in(tmp_path).server.drain) + ENDING
    assert POD["terminationGracePeriodSeconds"] > needed
    longest = max(SETTINGS["monitors"][role]["timeout"] for role in ("control", "candidate"))
    read_timeout = ALL["Ingress", "shim"]["metadata"]["annotations"][
        "nginx.ingress.kubernetes.io/proxy-read-timeout"
    ]
    assert int(read_timeout) > int(longest.rstrip("s")) + 15


@asynccontextmanager
async def pod(
    folder: Path, store: LedgerUrl
) -> AsyncIterator[tuple[Any, dict[str, str], list[str]]]:
    """The container's process with the ConfigMap's settings; its secrets, and the addresses of its listeners.

    Host, ports, store and the places of files are those of the test.
    """
    flags = folder / "rollout.yaml"
    flags.write_text(FLAGS)
    settings_in(
        folder,
        ledger=store.url,
        outbox=str(folder / "outbox.db"),
        rollout=str(flags),
        server={**SETTINGS["server"], "host": "127.0.0.1", "port": 0},
        console={**SETTINGS["console"], "host": "127.0.0.1", "port": 0},
    )
    secrets = {name: f"{name}-" * 4 for name in SHORTEST}
    environment = {**os.environ, **secrets, "PYTHONUNBUFFERED": "1"}
    for variable in CONTAINER["env"]:
        if "fieldRef" in variable["valueFrom"]:
            assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            environment[variable["name"]] = "shim-0"
    command = [*CONTAINER["args"][:-1], f"--config={folder / 'shim.yaml'}"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shim", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=environment,
        )
    assert process.stdout is not None
    try:
        urls: list[str] = []
        async with asyncio.timeout(60):
            while len(urls) < len(PORTS):
                line = (await process.stdout.readline()).decode()
                assert line, (folder / "log").read_text()
                urls += re.findall(r" on (http://\S+)", line)
        yield process, secrets, urls
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@pytest.mark.real
async def test_the_probes_ask_what_there_is(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    """Also while the process drains: then it is alive, and not ready."""
    store = LedgerUrl(server.url(database))
    async with pod(tmp_path, store) as (process, secrets, urls), aiohttp.ClientSession() as http:
        addresses = dict(zip(PORTS, urls, strict=True))

        async def probe(name: str) -> int:
            asked = CONTAINER[f"{name}Probe"]["httpGet"]
            async with http.get(f"{addresses[asked['port']]}{asked['path']}") as answer:
                return answer.status

        for name in ("startup", "liveness", "readiness"):
            assert await probe(name) == 200, name
        async with http.get(f"{addresses['console']}/api/fleet", headers=bearer(secrets)) as answer:
            listed = (await answer.json())["processes"]
        assert [one["name"] for one in listed] == ["shim-0"]
        headers = token("u1", secrets["SHIM_JWT_SECRET"])
        async with http.ws_connect(f"{addresses['sockets']}/glasses-ws", headers=headers) as client:
            process.terminate()
            statuses = {await probe("readiness")}
            while 503 not in statuses:
                statuses.add(await probe("readiness"))
            assert await probe("liveness") == 200
            while not client.closed:
                await client.receive()
            assert client.close_code == 1012
        assert await process.wait() == 0
    with closing(read_ledger(store)) as reader:
        ended = [(one.name, one.alive, one.waiting) for one in reader.processes(wall_clock())]
    assert ended == [("shim-0", False, 0)]


def bearer(secrets: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {secrets['SHIM_OPERATOR_TOKEN']}"}
