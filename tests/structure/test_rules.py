"""Each rule that the code cites can be looked up: it has an address in docs/design.md, which is linked."""

import re

from tests.structure.sources import ROOT, modules

RULE = re.compile(r"\bR(\d+b?)\b")
LINK = re.compile(r"docs/design\.md#r(\d+b?)\b")
DESIGN = ROOT / "docs" / "design.md"


def rules_in(text: str) -> set[str]:
    return set(RULE.findall(text))


def test_the_design_has_an_address_for_each_rule() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    addresses = set(re.findall(r'<a id="r(\d+b?)"></a>', text))
    assert rules_in(text) <= addresses
    assert {str(number) for number in range(1, 28)} <= addresses


def test_a_module_links_the_rules_that_it_cites() -> None:
    """In the docstring, such as `docs/design.md#r3b`."""
    without = {
        module.name: missing
        for module in modules()
        if (missing := rules_in(module.text) - set(LINK.findall(module.docstring)))
    }
    assert without == {}


def test_a_link_to_the_design_leads_there() -> None:
    addresses = set(re.findall(r'<a id="([^"]+)"></a>', DESIGN.read_text(encoding="utf-8")))
    for module in modules():
        links = set(re.findall(r"docs/design\.md#([\w-]+)", module.text))
        assert links <= addresses, module.name
