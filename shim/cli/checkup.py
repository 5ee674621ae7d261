"""What `shim doctor` looks at: each check gives findings in words, and changes nothing.

A check opens what a shim would open, and closes it again: files to read, a listening socket for an instant, a
connection to the collector.
"""

import ctypes
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from shim.console.listener import listen, url_of
from shim.ledger.completeness import describe_completeness, format_completeness
from shim.ledger.fleet_record import LARGE_OFFSET, FleetRecord, format_differences
from shim.ledger.protocols import NoStoreError
from shim.ledger.rows import CoverageRow, RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.stores import fleet_store, read_ledger
from shim.model import InputError, seconds
from shim.model.ledger_url import POSTGRES
from shim.rollout.client_hints import close_code_warning, timeout_warnings
from shim.runtime.secrets import Secrets
from shim.settings.settings import Settings, load_flags
from shim.telemetry.setup import collector_endpoint

_FEW_FILES = 4096
_LITTLE_ROOM = 1_000_000_000
"""Bytes on the ledger's disk."""

_EARLIEST = 2024
"""A clock that shows an earlier year was never set."""

_UNSYNCHRONIZED = 5
"""`TIME_ERROR` of adjtimex(2): the kernel's clock follows no time server."""

_STRUCT_TIMEX = 512
"""Bytes; more than `struct timex` has on any platform."""

_FUTURE = 60.0
_CONNECT = 2.0
"""Seconds."""


class Health(StrEnum):
    """How good a finding is; only `BAD` keeps a shim from doing its work."""

    GOOD = "good"
    ODD = "odd"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check found, in a sentence for people."""

    about: str
    health: Health
    words: str

    def as_dict(self) -> dict[str, str]:
        return {"about": self.about, "health": str(self.health), "words": self.words}


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """The findings of all checks, in the order in which a shim meets these things at its start."""
    for about, check in _CHECKS.items():
        try:
            for health, words in check(settings):
                yield Diagnosis(about, health, words)
        except InputError as error:
            for problem in error.problems:
                yield Diagnosis(about, Health.BAD, str(problem))


Diagnoses = Iterator[tuple[Health, str]]


def check_flags(settings: Settings) -> Diagnoses:
    """The flags file and the candidate that it lets act: valid, and fit for the service and its clients."""
    for warning in timeout_warnings(settings):
        yield Health.ODD, warning
    if settings.monitors.control is None:
        yield Health.GOOD, "the control is retired: no flags are needed"
        return
    loaded = load_flags(settings)
    if loaded is None:
        yield Health.ODD, "the settings name no flags file: everybody is at `shadow`"
        return
    targeting = loaded.targeting
    if not loaded.path.exists():
        yield (
            Health.ODD,
            "no version of the fleet's flags has come yet: everybody is at `off` until then",
        )
        return
    yield Health.GOOD, f"{loaded.path} is valid, digest {loaded.digest[:12]}"
    if targeting.kill_switch:
        yield Health.ODD, "the kill switch is on: everybody is at `off`"
    if (lost := close_code_warning(settings, targeting)) is not None:
        yield Health.ODD, lost


def check_expected(settings: Settings) -> Diagnoses:
    """The rules that explain mismatches: none of them has expired."""
    today = datetime.now(UTC).date()
    for rule in settings.comparison.expected:
        if rule.until < today:
            yield Health.ODD, f"the rule {rule.name!r} has expired on {rule.until}"
    count = len(settings.comparison.expected)
    yield (
        Health.GOOD,
        f"{count} rules explain mismatches" if count else "no rule explains mismatches",
    )


def check_secrets(settings: Settings) -> Diagnoses:
    """The secrets in the environment."""
    del settings
    try:
        Secrets.from_environment()
    except InputError as error:
        for problem in error.problems:
            yield Health.BAD, f"{problem}; `openssl rand -hex 32` makes a good one"
        return
    yield Health.GOOD, "SHIM_OPERATOR_TOKEN and SHIM_HASH_KEY are set"
    if not os.environ.get("SHIM_JWT_SECRET"):
        yield Health.GOOD, "SHIM_JWT_SECRET is not set; only the reference server needs it"


def check_ledger(settings: Settings) -> Diagnoses:
    """The ledger: readable, young enough, and with room on its disk."""
    url = settings.ledger
    is_fleets = url.scheme in POSTGRES
    if is_fleets or url.scheme == "sqlite":
        file = settings.outbox if is_fleets else url.path
        folder = file.absolute().parent
        if not folder.is_dir():
            yield Health.BAD, f"{folder} is no folder"
            return
        if not os.access(folder, os.W_OK):
            yield Health.BAD, f"nobody may write into {folder} as this user"
        if (room := shutil.disk_usage(folder).free) < _LITTLE_ROOM:
            yield Health.ODD, f"the disk of {folder} has {room / 1e6:,.0f} MB left"
        if not is_fleets and not url.path.exists():
            yield Health.GOOD, f"{url.path} is not there yet: the first shim makes it"
            return
    with settings.origin.of("ledger"), closing(read_ledger(url)) as reader:
        try:
            asked, fleet = wall_clock(), reader.fleet()
        except NoStoreError:
            yield Health.GOOD, f"{url} has no store yet: the first shim makes it, if its role may"
            return
        runs = reader.rows(RunRow, limit=1)
        watched = reader.rows(CoverageRow, limit=1)
        brake = reader.brake() if fleet.now is None else fleet.brake
    yield (
        Health.GOOD,
        f"{url} can be read; the last run began {_when(runs[0].started_at if runs else None)}",
    )
    if fleet.now is not None:
        yield from _check_fleet(fleet, (asked + wall_clock()) // 2)
        with settings.origin.of("ledger"):
            fleet_store(url).check(settings.fleet or settings.telemetry.service_name)
    if watched and seconds(watched[0].at - (fleet.now or wall_clock())) > _FUTURE:
        yield (
            Health.BAD,
            f"its newest row is from the future ({_when(watched[0].at)}): check the clock",
        )
    if brake is not None and brake.engaged:
        yield Health.ODD, f"the brake is engaged: {brake.reason}"


def _check_fleet(fleet: FleetRecord, now: Wall) -> Diagnoses:
    """How far the record of a fleet goes, and this machine's clock beside the store's."""
    assert fleet.now is not None
    for line in format_completeness(describe_completeness(fleet)):
        yield Health.ODD if fleet.behind else Health.GOOD, line
    for line in format_differences(fleet):
        yield Health.ODD, line
    if abs(ahead := fleet.now - now) > LARGE_OFFSET:
        away = f"{abs(seconds(ahead)):.1f} s {'ahead of' if ahead > 0 else 'behind'}"
        yield Health.ODD, f"the store's clock is {away} the clock of this machine"


def check_collector(settings: Settings) -> Diagnoses:
    """The collector of traces: something listens at its address."""
    endpoint = collector_endpoint(settings.telemetry)
    if endpoint is None:
        yield Health.GOOD, "no collector is named: no traces are sent"
        return
    address = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    port = address.port or (443 if address.scheme == "https" else 80)
    place = f"{address.hostname}:{port}"
    try:
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT).close()
    except OSError as error:
        yield Health.BAD, f"nobody answers at {place}: {error.strerror or error}"
    else:
        yield Health.GOOD, f"something listens at {place}"


def check_ports(settings: Settings) -> Diagnoses:
    """The addresses of the reference server and of the console: free, if no shim runs."""
    wanted = {"server": (settings.server.host, settings.server.port)}
    if (console := settings.console_address) is not None:
        wanted["console"] = (console.host, console.port)
    for name, (host, port) in wanted.items():
        try:
            with listen(host, port) as listener:
                yield Health.GOOD, f"the {name} can listen on {url_of(listener)}"
        except InputError as error:
            yield Health.ODD, f"the {name}: {error}; a shim that runs already is a good reason"


def check_clock(settings: Settings) -> Diagnoses:
    """The clock of this machine: set, and following a time server."""
    del settings
    now = datetime.now(UTC)
    if now.year < _EARLIEST:
        yield Health.BAD, f"it shows {now:%Y-%m-%d}: it was never set"
        return
    state = _clock_state()
    if state == _UNSYNCHRONIZED:
        yield Health.ODD, f"it shows {now:%Y-%m-%d %H:%M} UTC, and follows no time server"
    else:
        yield Health.GOOD, f"it shows {now:%Y-%m-%d %H:%M} UTC"


def check_files(settings: Settings) -> Diagnoses:
    """The limit of open files: each connection needs a file descriptor."""
    del settings
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        yield Health.GOOD, "this process may open any number of files"
        return
    words = f"this process may open {soft:,} files, so it can hold fewer connections than that"
    more = f" (`ulimit -n` may raise it to {hard:,})" if hard > soft else ""
    yield (Health.ODD if soft < _FEW_FILES else Health.GOOD), words + more


def check_capture(settings: Settings) -> Diagnoses:
    """The folder of the captures."""
    if settings.capture.file is None:
        yield Health.GOOD, "no capture is written"
        return
    folder = Path(settings.capture.file).absolute().parent
    if os.access(folder, os.W_OK):
        yield Health.GOOD, f"captures go to {folder}"
    else:
        yield Health.BAD, f"captures cannot be written to {folder}"


def _when(at: int | None) -> str:
    if at is None:
        return "never"
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _clock_state() -> int:
    """The state that adjtimex(2) tells; -1 where there is no such call, or where it is forbidden."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_STRUCT_TIMEX)))
    except (OSError, AttributeError):
        return -1


_CHECKS: dict[str, Callable[[Settings], Diagnoses]] = {
    "flags": check_flags,
    "expected": check_expected,
    "secrets": check_secrets,
    "ledger": check_ledger,
    "collector": check_collector,
    "ports": check_ports,
    "capture": check_capture,
    "clock": check_clock,
    "files": check_files,
}
