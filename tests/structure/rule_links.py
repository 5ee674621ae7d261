"""`python -m tests.structure.rule_links`: each module that cites rules gets the links that it lacks."""

import ast
import re
import textwrap

from tests.structure.sources import Module, modules

CITED = re.compile(r"\bR(\d+b?)\b")
LINK = re.compile(r"docs/design\.md#r(\d+b?)\b")
_RULES = re.compile(r"\n\nRules: ([^.]*\.md[^.]*)+\.\Z")
"""The paragraph at the end of a docstring with the links that its text does not have."""

_WIDTH = 90


def linked(module: Module) -> str:
    """The text of the module, with a link in its docstring for each rule that it cites.

    Raises ValueError for a module without a docstring.
    """
    docstring = ast.get_docstring(module.tree, clean=False)
    if docstring is None:
        raise ValueError(f"{module.name} cites rules and has no docstring")
    words = docstring.rstrip()
    if not set(CITED.findall(module.text)) - set(LINK.findall(words)):
        return module.text
    words = _RULES.sub("", words)
    missing = set(CITED.findall(module.text)) - set(LINK.findall(words))
    links = [f"docs/design.md#r{rule}" for rule in sorted(missing, key=_order)]
    paragraph = textwrap.fill(
        f"Rules: {', '.join(links)}.", _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    lines = module.text.splitlines(keepends=True)
    return "".join((f'"""{words}\n\n{paragraph}\n"""\n', *lines[module.tree.body[0].end_lineno :]))


def _order(rule: str) -> tuple[int, str]:
    return int(rule.removesuffix("b")), rule


if __name__ == "__main__":
    for cited in modules():
        if CITED.search(cited.text) and (text := linked(cited)) != cited.text:
            cited.path.write_text(text, encoding="utf-8")
            print(cited.path)
