"""What the fields of a row are as columns of a table, whatever the store."""

from functools import cache
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from shim.ledger.json_record import is_moment
from shim.ledger.rows import Row


class Column(NamedTuple):
    """A field of a row as a store keeps it.

    Attributes:
        kind: the type of its values; words and lists are texts, lists as JSON.
        optional: whether it may be null.
        moments: whether its values are times by the clock (`Wall`), or lists of such times.
    """

    name: str
    kind: type[bool] | type[int] | type[str]
    optional: bool
    moments: bool


@cache
def columns_of(row: type[Row]) -> tuple[Column, ...]:
    """The columns of a table, in the order of `Row.values`."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_column(name, hints[name]) for name in row.columns())


def _column(name: str, hint: Any) -> Column:
    optional = NoneType in get_args(hint)
    if optional:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    moments = is_moment(hint) or any(map(is_moment, get_args(hint)))
    plain = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return Column(name, _kind(plain), optional, moments)


def _kind(plain: Any) -> type[bool] | type[int] | type[str]:
    if not isinstance(plain, type):
        return str
    return bool if plain is bool else int if issubclass(plain, int) else str
