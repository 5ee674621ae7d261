"""`shim flags diff`: which users move when one flags file follows another."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from shim.cli.common import PATH, input_errors, json_option
from shim.cli.terminal import echo, echo_error, print_json
from shim.flags.diff import Moves, compare, moves_of
from shim.model import InputError, Problem, Stage
from shim.settings.flags_file import load_flags_file

_NO = 1
_MOST_USERS = 20
"""The most users that are shown as text; `--json` prints all."""


def _read_limit(value: str) -> tuple[float, bool]:
    """A number, and whether it is a percentage: of `100` or `2.5%`."""
    digits = value.removesuffix("%")
    is_share = digits != value
    try:
        number = float(digits) if is_share else int(digits)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise click.BadParameter(
            f"{value!r} is neither a number of users nor a percentage like 2.5%"
        )
    return number, is_share


@click.command()
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@click.option(
    "--users", type=PATH, help="A file with one user id in each line; - for standard input."
)
@click.option(
    "--max-moved",
    type=_read_limit,
    metavar="N|N%",
    help="Exit code 1 if more users move: a number (needs --users), or a percentage like 5%.",
)
@json_option
@input_errors
def diff(
    old: Path, new: Path, users: Path | None, max_moved: tuple[float, bool] | None, as_json: bool
) -> None:
    """Print which users move between which stages if the flags file NEW follows OLD.

    With --users the command counts these users. Without --users the command counts the users whom the
    files name, and prints exact shares of all other users, for each group that the same globs name. A
    percentage in --max-moved is then the limit for each group.
    """
    if max_moved is not None and not max_moved[1] and users is None:
        raise click.UsageError("a number of users needs --users; write a percentage like 5%")
    before, after = load_flags_file(old), load_flags_file(new)
    answer: dict[str, Any] = {
        name: {"file": str(loaded.path), "digest": loaded.digest}
        for name, loaded in (("old", before), ("new", after))
    }
    if users is not None:
        counted = moves_of(before.targeting, after.targeting, _read_users(users))
        answer["users"] = counted.as_dict()
        refused = _exceeds(counted, max_moved)
    else:
        comparison = compare(before.targeting, after.targeting)
        answer |= comparison.as_dict()
        refused = any(_exceeds(group.moves, max_moved) for group in comparison.groups)
    if max_moved is not None:
        answer["refused"] = refused
    if as_json:
        print_json(answer)
    elif users is not None:
        echo(f"{counted.moved} of {counted.total} users move, {counted.demoted} of them back")
        for move in answer["users"]["moves"]:
            echo(f"  {_format_move(move)}  {move['count']}")
    else:
        show_shares(answer)
    if refused:
        if not as_json:
            echo_error("refused: more users move than --max-moved allows")
        raise SystemExit(_NO)


def _read_users(path: Path) -> Iterator[str]:
    """The user ids in a file, or in standard input for `-`; empty lines are left out.

    An id is the whole line, with its spaces. Raises InputError.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                user = line.rstrip(b"\r\n")
                if user:
                    yield user.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte 0x{user[error.start]:02x}"
        raise InputError(Problem(reason, name, number)) from None
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", name)) from None


def _exceeds(moves: Moves, limit: tuple[float, bool] | None) -> bool:
    if limit is None:
        return False
    number, is_share = limit
    return moves.percent(moves.moved) > number if is_share else moves.moved > number


def show_shares(comparison: Mapping[str, Any]) -> None:
    """A comparison (`Comparison` as JSON) for people."""
    named, groups = comparison["named"]["users"], comparison["groups"]
    if not named and not any(group["moved_percent"] for group in groups):
        echo("no user moves")
        return
    for group in groups:
        if group["moved_percent"]:
            echo("everyone else" if group["globs"] is None else _format_globs(group["globs"]))
        for move in group["moves"]:
            echo(f"  {_format_move(move)}  {move['percent']:.7g} %")
    for move in named[:_MOST_USERS]:
        echo(move["user"])
        echo(f"  {_format_move(move).rstrip()}")
    more = len(named) - _MOST_USERS
    if more > 0:
        echo(f"{more} more named users are not shown; --json prints all")


def _format_move(move: Mapping[str, Any]) -> str:
    before, after = move["from"], move["to"]
    is_back = Stage[after.upper()] < Stage[before.upper()]
    return f"{before:>8} → {after:<8} {'back' if is_back else '    '}"


def _format_globs(globs: Sequence[str]) -> str:
    more = len(globs) - 3
    return ", ".join(globs[:3]) + (f" and {more} more globs" if more > 0 else "")
