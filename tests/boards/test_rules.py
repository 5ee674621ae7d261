"""The alert rules: valid, tested by promtool, and each explained in the runbook."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from shim.cli import main
from tests.boards.prometheus import CONFIG, ROOT, promtool, rules

RUNBOOK = ROOT / "docs" / "runbook.md"
ALERTS = [rule for rule in rules() if "alert" in rule]


def test_configuration_and_rules_are_valid() -> None:
    code, said = promtool("check", "config", CONFIG / "prometheus.yml")
    assert code == 0, said
    assert f"{len(list(rules()))} rules found" in said


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*_test.yml")), ids=lambda file: file.stem)
def test_the_rules_alert_when_they_should(file: Path) -> None:
    code, said = promtool("test", "rules", file)
    assert code == 0, said


def test_promtool_tests_every_alert() -> None:
    tests = "".join(file.read_text() for file in CONFIG.glob("*_test.yml"))
    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r"Shim\w+", tests))


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    anchors = {f"docs/runbook.md#{heading.lower()}" for heading in headings}
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook"] in anchors


def test_the_runbook_knows_no_other_alert() -> None:
    headings = re.findall(r"^### (Shim\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in ALERTS)


def test_the_commands_of_the_runbook_exist() -> None:
    text = RUNBOOK.read_text()
    blocks = "".join(re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^(shim .+?)(?: +#.*)?$", blocks, re.MULTILINE)
    lines += re.findall(r"`(shim [^`]+)`", text)
    assert len(lines) > 20
    for line in lines:
        command: Any = main
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group):
            name = words.pop(0)
            command = command.get_command(click.Context(command), name)
            assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_links_within_the_runbook_lead_somewhere() -> None:
    text = RUNBOOK.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
