"""The options of all commands."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import shim.cli
from shim.cli import COMMANDS, main


def choices(command: click.Command, path: str) -> "Iterator[tuple[str, click.Choice[str]]]":
    for option in command.params:
        if isinstance(option.type, click.Choice):
            yield f"{path} {option.opts[0]}", option.type
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None
            yield from choices(part, f"{path} {name}")


@pytest.mark.parametrize(
    "choice", [pytest.param(choice, id=where) for where, choice in choices(main, "shim")]
)
def test_words_are_given_to_click_as_texts_in_lower_case(choice: "click.Choice[str]") -> None:
    """It takes enums by the names of their members since 8.2, which are in upper case."""
    for word in choice.choices:
        assert type(word) is str
        assert word == word.lower()


def test_every_module_with_a_command_of_its_name_is_listed() -> None:
    names = [module.name for module in pkgutil.iter_modules(shim.cli.__path__)]
    modules = {name: import_module(f"shim.cli.{name}") for name in names}
    commands = [
        n for n, module in modules.items() if isinstance(vars(module).get(n), click.Command)
    ]
    assert sorted(commands) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_contract_names_every_command(name: str) -> None:
    contract = (Path(__file__).parents[2] / "docs" / "design.md").read_text()
    commands = contract.partition("### Commands")[2].partition("###")[0]
    assert re.search(rf"`{name}\b", commands)
