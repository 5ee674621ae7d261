"""The settings file: every key optional, every mistake told at once with its place."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import BaseModel

from shim.model import SECOND, InputError, Kind, Problem, VerdictKind
from shim.model.ledger_url import LedgerUrl
from shim.settings.fields import Section
from shim.settings.monitors import MonitorChoice
from shim.settings.settings import load_settings, settings_from
from tests.settings.fake_monitors import TYPES, Fake, FakeSettings, loaded, places, reasons


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shim.yaml"


def test_without_a_file_all_is_default() -> None:
    settings = load_settings(None, TYPES)
    assert settings.comparison.tolerance == 16 * SECOND
    assert settings.gate.min_agreement == 0.99
    assert settings.monitors.call_limit == SECOND // 20
    assert settings.monitors.control is not None
    assert settings.monitors.control.plugin == "legacy-global"
    assert settings.monitors.candidate.settings == FakeSettings()
    assert settings.rollout is None


@pytest.mark.parametrize("text", ["", "\n", "# nothing but comments\n", "{}\n"])
def test_an_empty_file_is_all_defaults(file: Path, text: str) -> None:
    settings = loaded(file, text)
    assert settings.comparison == load_settings(None, TYPES).comparison
    assert settings.rollout == file.parent / "rollout.yaml"


def test_the_committed_file_has_every_default() -> None:
    """Nothing in it differs from the defaults, and nothing of them is missing from it."""
    pytest.importorskip("shim_legacy_global")
    from shim.plugin.discovery import monitor_types, plugin_manager

    types = monitor_types(plugin_manager())
    committed = load_settings(Path("config/shim.yaml"), types)
    assert committed.model_copy(update={"rollout": None}) == load_settings(None, types)
    assert committed.rollout == Path("config/rollout.yaml")
    for section in (committed, *_sections(committed)):
        assert section.model_fields_set == set(type(section).model_fields)


def _sections(settings: BaseModel) -> Iterator[BaseModel]:
    for name in type(settings).model_fields:
        if isinstance(value := getattr(settings, name), BaseModel):
            yield value


def test_every_key_has_a_description() -> None:
    """Of a section it stands in its class."""
    settings = load_settings(None, TYPES)
    for section in (settings, *_sections(settings)):
        assert type(section).__doc__
        for name, key in type(section).model_fields.items():
            assert key.description or isinstance(getattr(section, name), Section), name


def test_the_keys_of_a_plugin(file: Path) -> None:
    settings = loaded(
        file,
        "monitors:\n"
        "  control: {plugin: fake, timeout: 0.75s, retries: 5, loud: true, share: 1, names: [a]}\n",
    )
    control = settings.monitors.control
    assert isinstance(control, MonitorChoice)
    assert (control.plugin, control.type) == ("fake", TYPES["fake"])
    assert control.settings == FakeSettings(750_000, 5, loud=True, share=1.0, names=["a"])


def test_retired(file: Path) -> None:
    assert loaded(file, "monitors: {control: null}\n").monitors.control is None


def test_a_control_with_its_lines_commented_out_is_not_retired(file: Path) -> None:
    text = "monitors:\n  control:\n  #  timeout: 45s\n"
    assert places(file, text) == [(2, "monitors.control")]


def test_a_section_with_nothing_in_it_is_told_once(file: Path) -> None:
    assert places(file, "brake:\n# count: 5\ngate: {unit: }\n") == [(1, "brake"), (3, "gate.unit")]


def test_all_errors_at_once_with_their_lines(file: Path) -> None:
    text = """\
monitors:
  control: {plugin: fake, timeout: 45, retires: 1}
  candidate:
    plugin: fake
    loud: 1
    share: much
comparison:
  tolerance: -1s
  window: 5 minutes
  expected:
    - {name: a, reason: b, until: 2027-01-31, kind: both}
    - {name: c, reason: d}
gate:
  min_agreement: 1.5
  min_users: yes
  min_user: 5
guard:
  hold: 0s
privacy: {logs: row}
ledger: mysql://x
rollout: 5
server:
  port: 99999
  apps:
    com.example.app1: {api_key_sha256: XX}
  admin: {port: "1"}
sever: {}
"""
    assert places(file, text) == [
        (2, "monitors.control.timeout"),
        (2, "monitors.control.retires"),
        (5, "monitors.candidate.loud"),
        (6, "monitors.candidate.share"),
        (8, "comparison.tolerance"),
        (9, "comparison.window"),
        (11, "comparison.expected[0].kind"),
        (12, "comparison.expected[1].until"),
        (14, "gate.min_agreement"),
        (15, "gate.min_users"),
        (16, "gate.min_user"),
        (18, "guard.hold"),
        (19, "privacy.logs"),
        (20, "ledger"),
        (21, "rollout"),
        (23, "server.port"),
        (25, "server.apps.com.example.app1.api_key_sha256"),
        (26, "server.admin.port"),
        (27, "sever"),
    ]
    told = reasons(file, text)
    assert "did you mean 'server'" in told
    assert "did you mean 'retries'" in told
    assert "did you mean 'min_users'" in told


def test_mistakes_of_yaml_do_not_hide_those_of_settings(file: Path) -> None:
    text = "gate: {min_days: 0}\ngate: {}\nguard: {count: 1:30}\nbrake: {share: 2}\n"
    assert places(file, text) == [
        (1, "gate.min_days"),
        (2, "gate"),
        (3, "guard.count"),
        (4, "brake.share"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('promotion: {auto: "false"}', "promotion.auto: must be true or false, without quotes"),
        ('gate: {min_users: "300"}', "gate.min_users: must be a whole number, without quotes"),
        ('gate: {min_agreement: "0.99"}', "gate.min_agreement: must be a number, without quotes"),
        ("gate: {min_users: many}", "gate.min_users: must be a whole number"),
        ("gate: {min_users: [300]}", "gate.min_users: must be a whole number"),
        ('server: {port: "8080"}', "server.port: must be a whole number, without quotes"),
    ],
)
def test_a_quoted_value_is_told_so(file: Path, text: str, reason: str) -> None:
    assert reasons(file, text).endswith(f": {reason}")


def test_a_grain_that_would_fill_the_memory(file: Path) -> None:
    assert loaded(file, "gate: {grain: 100ms}").gate.grain == SECOND // 10
    for short in ("99.999ms", "0.001ms"):
        assert reasons(file, f"gate: {{grain: {short}}}").endswith("grain: must be at least 100ms")


def test_columns(file: Path) -> None:
    with pytest.raises(InputError) as caught:
        loaded(file, "gate: {unit: 1d, min_days: 0}\n")
    assert str(caught.value).startswith(f"{file}:1:18: gate.min_days: ")


@pytest.mark.parametrize(
    ("keys", "path", "reason"),
    [
        ("retries: -1", "monitors.candidate.retries", "must not be negative"),
        ("label: nonsense", "monitors.candidate", "these make no sense together"),
        ("label: crash", "monitors.candidate", "RuntimeError: boom"),
        ("label: bytes", "monitors.candidate", "can't decode byte 0xff"),
        ("plugin: fak", "monitors.candidate.plugin", "'fake'"),
        ("plugin: needy", "monitors.candidate.url", "missing"),
        ("plugin: 5", "monitors.candidate.plugin", "installed are: fake, legacy-global"),
    ],
)
def test_what_a_plugin_refuses(file: Path, keys: str, path: str, reason: str) -> None:
    text = f"monitors: {{candidate: {{{keys}}}}}\n"
    assert places(file, text) == [(1, path)]
    assert reason in reasons(file, text)


def test_all_that_a_plugin_refuses_at_once(file: Path) -> None:
    text = "monitors:\n  candidate:\n    share: 2.0\n    retries: -1\n    label: nonsense\n"
    assert places(file, text) == [
        (2, "monitors.candidate"),
        (3, "monitors.candidate.share"),
        (4, "monitors.candidate.retries"),
    ]


def test_what_cannot_be_read_does_not_hide_what_a_plugin_refuses(file: Path) -> None:
    """But that it refuses all of them together may come from the default in place of the other."""
    text = "monitors:\n  candidate:\n    loud: 1\n    retries: -1\n    label: nonsense\n"
    assert places(file, text) == [
        (3, "monitors.candidate.loud"),
        (4, "monitors.candidate.retries"),
    ]
    assert set(places(file, "monitors: {candidate: {plugin: needy, urk: 1}}\n")) == {
        (1, "monitors.candidate.urk"),
        (1, "monitors.candidate.url"),
    }


def test_a_default_plugin_that_is_not_installed() -> None:
    with pytest.raises(InputError, match="legacy-global"):
        load_settings(None, {"fake": Fake()})


def test_expected_rules(file: Path) -> None:
    settings = loaded(
        file,
        "comparison:\n"
        "  expected:\n"
        "    - {name: a, reason: r, until: 2027-01-31, kind: skewed, skew: [-5s, 15s],\n"
        '       recovered: false, connection_kind: app, package: "com.example.*"}\n'
        "    - {name: b, reason: r, until: 2027-01-31}\n",
    )
    first, second = settings.comparison.expected
    assert (first.kind, first.connection_kind) == (VerdictKind.SKEWED, Kind.APP)
    assert first.skew == (-5 * SECOND, 15 * SECOND)
    assert (first.until, first.package) == (date(2027, 1, 31), "com.example.*")
    assert (second.kind, second.skew, second.recovered) == (None, None, None)


@pytest.mark.parametrize("skew", ["5s", "[5s]", "[5s, 1s]", "[1s, 2s, 3s]", "[1, 2]", "{a: 1s}"])
def test_a_range_of_skew_that_is_none(file: Path, skew: str) -> None:
    rule = f"{{name: a, reason: r, until: 2027-01-31, skew: {skew}}}"
    assert places(file, f"comparison: {{expected: [{rule}]}}\n") == [
        (1, "comparison.expected[0].skew")
    ]


def test_two_rules_of_one_name(file: Path) -> None:
    rule = "{name: a, reason: r, until: 2027-01-31}"
    text = f"comparison:\n  expected:\n    - {rule}\n    - {rule}\n"
    assert places(file, text) == [(4, "comparison.expected[1].name")]
    text += "    - {nam: a, reason: r, until: 2027-01-31}\n"
    assert places(file, text)[1:] == [
        (5, "comparison.expected[2].name"),
        (5, "comparison.expected[2].nam"),
    ]
    assert "did you mean 'name'" in reasons(file, text)


def test_the_rollout_is_found_from_the_folder_of_the_settings(file: Path) -> None:
    assert loaded(file, "rollout: flags/x.yaml\n").rollout == file.parent / "flags/x.yaml"
    assert loaded(file, "rollout: /etc/x.yaml\n").rollout == Path("/etc/x.yaml")
    assert loaded(file, "rollout: null\n").rollout is None


def test_the_ledger(file: Path) -> None:
    assert loaded(file, "ledger: sqlite:////var/x.db\n").ledger.path == Path("/var/x.db")
    assert loaded(file, "ledger: sqlite:///x.db\n").ledger.path == Path("x.db")
    assert str(loaded(file, "ledger: sqlite:///a@b?c.db\n").ledger) == "sqlite:///a@b?c.db"


@pytest.mark.parametrize("wrong", ["5", "[]", "sqlite:///", "shim.db", "sqlite://x.db"])
def test_a_ledger_that_is_no_url_of_a_file(file: Path, wrong: str) -> None:
    assert places(file, f"ledger: {wrong}\n") == [(1, "ledger")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://shim:geheim@db:5432/evidence?sslmode=require",
            "postgresql://db:5432/evidence",
        ),
        ("postgresql://shim:geh/e@im@db/evidence", "postgresql://db/evidence"),
        ("postgresql://db/evidence?password=geheim", "postgresql://db/evidence"),
        ("postgresql://db/evidence", "postgresql://db/evidence"),
    ],
)
def test_a_ledgers_url_shows_no_password(url: str, shown: str) -> None:
    ledger = LedgerUrl(url)
    assert (str(ledger), ledger.scheme, ledger.url) == (shown, "postgresql", url)
    assert "geh" not in f"{ledger} {ledger!r}"


@pytest.mark.parametrize("text", ["[]", "off", "5", "text", "a: [", "\ta: 1"])
def test_what_is_no_settings_file(file: Path, text: str) -> None:
    assert reasons(file, text)


def test_what_cannot_be_read(file: Path) -> None:
    for path in (file, file.parent):
        with pytest.raises(InputError) as caught:
            load_settings(path, TYPES)
        assert caught.value.problems[0].file == str(path)
    file.write_bytes(b"gate:\n  unit: \xff\n")
    with pytest.raises(InputError, match="UTF-8") as caught:
        load_settings(file, TYPES)
    assert caught.value.problems[0].line == 2


def test_the_key_to_blame(file: Path) -> None:
    """What a value leads to is no part of the settings; its problems are told with its place."""
    trouble = InputError(Problem("no such folder", "x.db"))
    settings = loaded(file, "gate: {}\nserver: {port: 1}\n")
    with pytest.raises(InputError) as caught, settings.origin.of("server", "port"):
        raise trouble
    assert str(caught.value) == f"{file}:2:10: server.port: x.db: no such folder"
    with pytest.raises(InputError) as caught, settings.origin.of("ledger"):
        raise trouble
    assert str(caught.value) == f"{file}: ledger: x.db: no such folder"
    with pytest.raises(InputError) as caught, load_settings(None, TYPES).origin.of("ledger"):
        raise trouble
    assert caught.value is trouble
    assert settings.gate == load_settings(None, TYPES).gate


def test_settings_from_plain_data() -> None:
    settings = settings_from({"comparison": {"tolerance": "1s"}}, TYPES)
    assert settings.comparison.tolerance == SECOND
    with pytest.raises(InputError, match=r"comparison\.tolerance"):
        settings_from({"comparison": {"tolerance": 1}}, TYPES)


def test_nothing_can_be_changed_afterwards() -> None:
    settings = load_settings(None, TYPES)
    with pytest.raises(ValueError, match="frozen"):
        settings.comparison.window = 5  # type: ignore[misc]
