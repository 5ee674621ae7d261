"""A kind of verdict is named in every place that has to know it; CONTRIBUTING.md has the recipe."""

from pathlib import Path

import pytest

from shim.model import VerdictKind
from shim.telemetry import Metrics

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", VerdictKind)
@pytest.mark.parametrize("page", ["docs/design.md", "docs/telemetry.md"])
def test_the_documents_name_it(page: str, kind: VerdictKind) -> None:
    assert f"`{kind}`" in (ROOT / page).read_text()


@pytest.mark.parametrize("kind", VerdictKind)
def test_the_metric_of_verdicts_begins_at_0(kind: VerdictKind) -> None:
    _, text = Metrics().render("text/plain")
    lines = [line for line in text.decode().splitlines() if line.startswith("shim_verdicts_total")]
    assert any(f'kind="{kind}"' in line and line.endswith(" 0.0") for line in lines)
