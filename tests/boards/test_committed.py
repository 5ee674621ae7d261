"""The committed boards are what the code makes, and Grafana can take them."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from tests.boards.prometheus import BOARDS, ROOT
from tests.support import skip

# The SDK prefers the format of Grafana 12; every Grafana reads the one before.
pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")


def _need_sdk() -> None:
    if importlib.util.find_spec("grafana_foundation_sdk") is None:
        skip("grafana-foundation-sdk is not installed")


def test_the_committed_boards_are_what_the_code_makes() -> None:
    _need_sdk()
    from boards.files import files

    committed = {file.name: file.read_text() for file in BOARDS}
    assert committed == files(), "run `python -m boards`"


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_the_sdk_reads_a_board_as_it_wrote_it(file: Path) -> None:
    _need_sdk()
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    board = json.loads(file.read_text())
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert again == board


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_ids_are_unique_and_panels_do_not_overlap(file: Path) -> None:
    board = json.loads(file.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_panel_says_what_it_shows() -> None:
    boards = [json.loads(file.read_text()) for file in BOARDS]
    assert len({board["uid"] for board in boards}) == len(boards) == 2
    for board in boards:
        for panel in board["panels"]:
            assert panel["type"] in ("row", "text") or panel["description"], panel["title"]
            assert all(
                target["datasource"]["uid"] == "${datasource}"
                for target in panel.get("targets", ())
            )


def test_mismatches_lead_to_traces_and_to_the_console() -> None:
    (file,) = (file for file in BOARDS if file.stem == "mismatches")
    panels = {panel.get("title"): panel for panel in json.loads(file.read_text())["panels"]}
    for title in ("Mismatches", "Skew"):
        assert panels[title]["targets"][0]["exemplar"] is True
    (link,) = panels["Mismatches"]["fieldConfig"]["defaults"]["links"]
    assert link["url"].startswith("${console}/verdicts?")


def test_grafana_knows_where_the_exemplars_lead() -> None:
    file = ROOT / "config" / "grafana" / "provisioning" / "datasources" / "shim.yaml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    (destination,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    # Grafana puts environment variables where it sees one dollar.
    assert destination["url"].endswith("/$${__value.raw}")
