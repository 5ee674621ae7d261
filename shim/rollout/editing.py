"""A flags file with other widths: only these numbers change; every comment and line stays."""

from codecs import BOM_UTF8
from dataclasses import replace
from decimal import Decimal
from typing import Any

import yaml

from shim.flags.targeting import Percentages
from shim.settings.flags_file import parse_flags

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def with_percent(data: bytes, percent: Percentages, file: str) -> bytes:
    """The content with these widths at `percent`; raises InputError if it is no good flags file.

    The result is read again: only the widths have another meaning than before.
    """
    before = parse_flags(data, file)
    bom = BOM_UTF8 if data.startswith(BOM_UTF8) else b""
    text = data.removeprefix(bom).decode()
    edited = bom + _edit(text, percent).encode()
    if parse_flags(edited, file) != replace(before, percent=percent):
        raise AssertionError("an edit of the widths changed something else")
    return edited


def _edit(text: str, percent: Percentages) -> str:
    """Replace the numbers in place; missing widths are added after the others."""
    root = yaml.compose(text, Loader=_Loader)
    assert isinstance(root, yaml.MappingNode)
    (mapping,) = (value for key, value in root.value if key.value == "percent")
    assert isinstance(mapping, yaml.MappingNode)
    entries = {name.value: number for name, number in mapping.value}
    wanted = {name: _format_width(width) for name, width in percent.widths.items()}
    missing = {name: w for name, w in wanted.items() if name not in entries and w != "0"}
    edits = [
        (_span(number), wanted[name])
        for name, number in entries.items()
        if Decimal(number.value) != Decimal(wanted[name])
    ]
    if missing:
        edits.append(_insertion(mapping, missing, text))
    for (start, end), new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _insertion(
    mapping: yaml.MappingNode, missing: dict[str, str], text: str
) -> tuple[tuple[int, int], str]:
    """The place of the missing widths, and their text in the style of the present widths."""
    entries = [f"{name}: {width}" for name, width in missing.items()]
    if not mapping.value:  # {}
        return _span(mapping), "{" + ", ".join(entries) + "}"
    end = _span(mapping.value[-1][1])[1]
    if mapping.flow_style:
        return (end, end), "".join(f", {entry}" for entry in entries)
    indent = " " * mapping.start_mark.column
    newline = "\r\n" if "\r\n" in text else "\n"
    # After the line's comment; a good file has more lines.
    at = text.index("\n", end) + 1
    return (at, at), "".join(f"{indent}{entry}{newline}" for entry in entries)


def _span(node: yaml.Node) -> tuple[int, int]:
    """The start and the end of a node in the text."""
    return node.start_mark.index, node.end_mark.index


def _format_width(width: Decimal | int) -> str:
    """No exponent, no trailing zeros."""
    return f"{Decimal(width).normalize():f}"
