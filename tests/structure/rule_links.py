"""`python -m tests.structure.rule_links`: each module that cites rules gets their links in its docstring."""

import ast
import re

from tests.structure.sources import Module, modules

CITED = re.compile(r"\bR(\d+)(b?)\b")
LINK = re.compile(r"R\d+b?: docs/design\.md#r\d+b?")
_LINE = re.compile(rf"(?:{LINK.pattern}(?:, |,?$))+")
_WIDTH = 100


def linked(module: Module) -> str:
    """The text of the module, with a link for each rule that it cites at the end of its docstring.

    Raises ValueError for a module without a docstring.
    """
    statement, docstring = module.tree.body[0], ast.get_docstring(module.tree, clean=False)
    if docstring is None:
        raise ValueError(f"{module.name} cites rules and has no docstring")
    words = [line for line in docstring.splitlines() if not _LINE.fullmatch(line)]
    rules = sorted({(int(number), b) for number, b in CITED.findall(LINK.sub("", module.text))})
    links = [f"R{number}{b}: docs/design.md#r{number}{b}" for number, b in rules]
    docstring = "\n".join(words).rstrip()
    if links:
        docstring += "\n\n" + "\n".join(_rows(links))
    end = "\n" if "\n" in docstring else ""
    lines = module.text.splitlines(keepends=True)
    rest = lines[statement.end_lineno :]
    return "".join((f'"""{docstring}{end}"""\n', *rest))


def _rows(links: list[str]) -> list[str]:
    """As many links in a line as fit."""
    rows = [links[0]]
    for link in links[1:]:
        longer = f"{rows[-1]}, {link}"
        if len(longer) <= _WIDTH:
            rows[-1] = longer
        else:
            rows[-1] += ","
            rows.append(link)
    return rows


if __name__ == "__main__":
    for cited in modules():
        if CITED.search(cited.text) and (text := linked(cited)) != cited.text:
            cited.path.write_text(text, encoding="utf-8")
            print(cited.path)
