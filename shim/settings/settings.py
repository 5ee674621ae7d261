"""All settings: the sections together, and how a file becomes an instance of them."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
)

from shim.clients.client_returns import known_clients
from shim.model import MonitorType
from shim.model.ledger_url import POSTGRES, LedgerUrl
from shim.model.time import DAY
from shim.settings.document import UNUSABLE, Document, KeyPath, Node, Origin
from shim.settings.faults import Fault, suggestion, validate
from shim.settings.fields import ListOf, PositiveDuration, Section, Text
from shim.settings.flags_file import FlagsFile, load_flags_file, unknown_flags
from shim.settings.monitors import Surroundings
from shim.settings.promotion_settings import PromotionSettings
from shim.settings.sections import (
    BrakeSettings,
    CaptureSettings,
    ComparisonSettings,
    ConsoleAddress,
    ConsoleSettings,
    GateSettings,
    GuardSettings,
    MonitorsSettings,
    PrivacySettings,
    ServerSettings,
    TelemetrySettings,
)
from shim.settings.yamlfile import UnreadableError, decode, parse, read_bytes, read_regular_file

_UNWRITTEN = "has no value: leave the key out for its default, or write null if you mean that"


class FlagsInStore(Enum):
    """The flags are in the store of the fleet (docs/design.md#r26)."""

    LEDGER = "ledger"


def _read_rollout(value: Any, info: ValidationInfo) -> Path | FlagsInStore | None:
    """The path of the flags file, from the folder of the settings file."""
    if value is None:
        return None
    if value == FlagsInStore.LEDGER.value:
        return FlagsInStore.LEDGER
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a flags file, or null for none")
    surroundings: Any = info.context
    folder: Path | None = surroundings.folder
    return folder / value if folder is not None else None


def _read_ledger(value: Any) -> LedgerUrl:
    url = LedgerUrl(value if isinstance(value, str) else "")
    if fault := url.fault:
        raise ValueError(fault)
    return url


def _read_outbox(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a SQLite file")
    return Path(value)


def _check_clients(names: tuple[str, ...]) -> tuple[str, ...]:
    known = known_clients()
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is not among the measured clients{suggestion(name, known)}; "
                "`shim codes` lists them"
            )
    return names


class Settings(Section):
    """Everything that `config/shim.yaml` can say; whatever it leaves out has its default.

    What a section is about stands in its class.
    """

    monitors: MonitorsSettings = Field(
        default_factory=dict, validate_default=True, description="Who decides about timeouts."
    )
    comparison: ComparisonSettings = ComparisonSettings()
    gate: GateSettings = GateSettings()
    brake: BrakeSettings = BrakeSettings()
    guard: GuardSettings = GuardSettings()
    rollout: Annotated[Path | FlagsInStore | None, BeforeValidator(_read_rollout)] = Field(
        default="rollout.yaml",
        validate_default=True,
        description="The flags file, from the folder of the settings file; null: none. Without a "
        "settings file there is none either. `ledger`: the flags are in the store of the fleet.",
    )
    promotion: PromotionSettings = PromotionSettings()
    ledger: Annotated[LedgerUrl, PlainValidator(_read_ledger)] = Field(
        default="sqlite:///shim.db",
        validate_default=True,
        description="Where the evidence is kept: a SQLite file, from the working directory, with four "
        "slashes from the root; or, for a fleet, postgresql://… as libpq has it.",
    )
    outbox: Annotated[Path, BeforeValidator(_read_outbox)] = Field(
        default=Path("shim-outbox.db"),
        description="The SQLite file in which a process of a fleet keeps what it has not shipped to the "
        "store yet, from the working directory.",
    )
    process: Text | None = Field(
        default=None,
        description="The name of this process in its fleet; null: SHIM_PROCESS in the environment, or else "
        "the host's name and a random part.",
    )
    fleet: Text | None = Field(
        default=None,
        description="The name of the fleet, which has the store for itself; null: telemetry.service_name.",
    )
    retention: PositiveDuration = Field(
        default=90 * DAY, description="How long the ledger keeps its rows."
    )
    gc_freeze: PositiveDuration | None = Field(
        default=None,
        description="How often the objects that are alive are taken out of Python's garbage collection; "
        "null: never. For services with very many connections and without reference cycles of their own.",
    )
    capture: CaptureSettings = CaptureSettings()
    privacy: PrivacySettings = PrivacySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    clients: Annotated[ListOf[Text], AfterValidator(_check_clients)] = Field(
        default=("@mentra/sdk",),
        description="The clients of the service, as `shim codes` names them: warnings say which of them "
        "stay away after the candidate's close code.",
    )
    server: ServerSettings = ServerSettings()
    console: ConsoleSettings = ConsoleSettings()
    _origin: Origin = PrivateAttr()

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Fault]:
        if given.get("rollout") == FlagsInStore.LEDGER.value:
            ledger = given.get("ledger")
            if not isinstance(ledger, str) or LedgerUrl(ledger).scheme not in POSTGRES:
                yield Fault(
                    ("rollout",), "`ledger` needs the store of a fleet (ledger: postgresql://…)"
                )

    def model_post_init(self, context: Any) -> None:
        surroundings: Surroundings = context
        self._origin = surroundings.origin

    @property
    def flags_path(self) -> Path | None:
        """The flags file that this process follows; None: there is none.

        If the flags are in the store, it is this process's copy of them, beside its outbox.
        """
        if isinstance(self.rollout, FlagsInStore):
            return Path(f"{self.outbox}-rollout.yaml")
        return self.rollout

    @property
    def in_fleet(self) -> bool:
        """Whether the ledger is a fleet's store."""
        return self.ledger.scheme in POSTGRES

    @property
    def own_ledger(self) -> LedgerUrl:
        """The ledger that this process writes itself: its outbox, where the ledger is a fleet's store."""
        return LedgerUrl.of_file(self.outbox) if self.in_fleet else self.ledger

    @property
    def console_address(self) -> ConsoleAddress | None:
        """Where the console's own listener is to be; None: no such listener."""
        if self.console.port is not None:
            host = self.console.host or "127.0.0.1"
            return ConsoleAddress(host, self.console.port, ("console",))
        if (admin := self.server.admin) is not None:
            return ConsoleAddress(admin.host, admin.port, ("server", "admin"))
        return None

    @property
    def origin(self) -> Origin:
        return self._origin


def load_settings(path: Path | None, types: Mapping[str, MonitorType]) -> Settings:
    """Read a settings file; None stands for no file, all defaults.

    `types` are the monitors to choose from (`shim.plugin.discovery.monitor_types`). Raises InputError with
    every problem of the file.
    """
    if path is None:
        return settings_from({}, types)
    document = Document(str(path))
    data = read_bytes(path)
    document.digest = sha256(data).hexdigest()
    value: Any = {}
    lines = (line.strip() for line in data.removeprefix(BOM_UTF8).splitlines())
    # A file without any line but comments asks for the defaults.
    if any(line and not line.startswith(b"#") for line in lines):
        root = parse(decode(data, document), document)
        _refuse_unwritten(document, root)
        value = root.plain()
    # What YAML had to complain of is raised together with what is wrong with the settings.
    surroundings = Surroundings(types, path.parent, Origin(document))
    return validate(Settings, document, value, surroundings)


def load_flags(settings: Settings) -> FlagsFile | None:
    """The flags file that these settings name, if they do.

    Raises InputError with every problem in it; where it cannot be read, with the key that names it.
    """
    path = settings.flags_path
    if path is None:
        return None
    if isinstance(settings.rollout, FlagsInStore) and not path.exists():
        return unknown_flags(path)
    with settings.origin.of("rollout", errors=UnreadableError):
        return load_flags_file(path, read_regular_file)


def settings_from(value: Any, types: Mapping[str, MonitorType], file: str = "settings") -> Settings:
    """Settings from plain dicts, as a capture carries them; raises InputError, naming `file`."""
    return validate(Settings, Document(file), value, Surroundings(types))


def _refuse_unwritten(document: Document, node: Node, path: KeyPath = ()) -> None:
    """Report the keys with nothing behind them: sections whose lines were all commented out, most likely.

    To read them as null would retire the control for an empty `control:`, which is hardly meant.
    """
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            if child.value is None and not child.text:
                document.report_path((*path, key), _UNWRITTEN)
                child.value = UNUSABLE
            _refuse_unwritten(document, child, (*path, key))
