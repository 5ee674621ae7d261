"""The options of all commands."""

from collections.abc import Iterator

import click
import pytest

from shim.cli import main


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
