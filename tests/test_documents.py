"""The documents lead where they say: links, anchors, and the modules that they name."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*.md")],
    key=lambda path: path.name,
)
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_MODULE = re.compile(r"`((?:shim|plugins|tests|boards|benchmarks|config|examples)/[\w./-]+)`")
_PLACEHOLDER = re.compile("NAME|STORE|LIBRARY|AREA")
_DEFINED = re.compile(r"((?:`\w+`(?: and )?)+) in `([\w/]+\.py)`")


def prose(page: Path) -> str:
    """The text without its code blocks."""
    return _FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """The places that a link can lead to: named ones, and headings as GitHub names them."""
    text = prose(page)
    headings = (
        re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", heading).strip()).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    return {*re.findall(r'<a id="([^"]+)">', text), *headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_named_is_there(page: Path) -> None:
    for name in _MODULE.findall(prose(page)):
        assert any(ROOT.glob(_PLACEHOLDER.sub("*", name))), name


def test_the_glossary_names_the_module_that_defines_each_word() -> None:
    found = _DEFINED.findall((ROOT / "docs" / "glossary.md").read_text())
    assert len(found) > 40
    for names, module in found:
        text = (ROOT / module).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(class|def) {name}\b|^{name}\b", text, re.MULTILINE), (
                name,
                module,
            )
