"""The parts of a board: numbers, lines, a table and a heatmap, each with its queries."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    StackingMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, RED = "green", "red"

Panel = stat.Panel | timeseries.Panel | table.Panel | heatmap.Panel | text.Panel
"""The builder of a panel of any sort that is used here."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, how its lines are called, and whether their exemplars are shown."""

    expr: str
    legend: str = ""
    exemplars: bool = False


def state(title: str, description: str, expr: str, *, good: str, bad: str) -> stat.Panel:
    """A number that is 0 when all is well and 1 when it is not, in words."""
    words = {
        "0": ValueMappingResult(text=good, color=GREEN),
        "1": ValueMappingResult(text=bad, color=RED),
    }
    panel = number(title, description, expr, unit="none")
    return panel.mappings([ValueMap(options=words)]).color_mode(BigValueColorMode.BACKGROUND)


def number(title: str, description: str, expr: str, *, unit: str, span: int = 3) -> stat.Panel:
    """The last value of one expression."""
    panel = stat.Panel().title(title).description(description).datasource(PROMETHEUS)
    panel = panel.with_target(_query("A", Query(expr)).instant()).graph_mode(BigValueGraphMode.NONE)
    panel = panel.thresholds(_steps(Threshold(None, GREEN))).orientation(VizOrientation.AUTO)
    return panel.unit(unit).span(span).height(4)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    span: int = 8,
    stacked: bool = False,
    target: float | None = None,
    links: tuple[DashboardLink, ...] = (),
) -> timeseries.Panel:
    """Lines over time, with a dashed one at the `target`."""
    panel = timeseries.Panel().title(title).description(description).datasource(PROMETHEUS)
    for letter, query in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(_query(letter, query).range())
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = (
        panel.legend(legend)
        .unit(unit)
        .span(span)
        .height(8)
        .fill_opacity(10)
        .show_points(VisibilityMode.AUTO)
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    if target is not None:
        panel = panel.thresholds(_steps(Threshold(None, RED), Threshold(target, GREEN)))
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    return panel.data_links(list(links)) if links else panel


def counts(
    title: str, description: str, expr: str, *links: DashboardLink, span: int = 12
) -> table.Panel:
    """A table of what one expression gives now: its labels and its value."""
    query = _query("A", Query(expr)).instant().format(PromQueryFormat.TABLE)
    hidden = {"Time": True}
    tidy = DataTransformerConfig(
        id_val="organize", options={"excludeByName": hidden, "renameByName": {"Value": "number"}}
    )
    panel = table.Panel().title(title).description(description).datasource(PROMETHEUS)
    panel = panel.with_target(query).with_transformation(tidy).decimals(0)
    return panel.data_links(list(links)).span(span).height(8)


def spread(
    title: str, description: str, query: Query, *, unit: str, span: int = 12
) -> heatmap.Panel:
    """The buckets of a histogram over time, with exemplars."""
    target = _query("A", query).range().format(PromQueryFormat.HEATMAP)
    panel = heatmap.Panel().title(title).description(description).datasource(PROMETHEUS)
    colours = heatmap.HeatmapColorOptions().scheme("Oranges").scale(HeatmapColorScale.EXPONENTIAL)
    axis = heatmap.YAxisConfig().unit(unit)
    panel = panel.with_target(target).calculate(False).color(colours).y_axis(axis)
    return panel.exemplars_color("rgba(31,96,196,0.9)").span(span).height(8)


def words(markdown: str, *, span: int, height: int) -> text.Panel:
    """Text for whoever looks at the board."""
    return text.Panel().mode(TextMode.MARKDOWN).content(markdown).span(span).height(height)


def link(title: str, url: str) -> DashboardLink:
    """A link of a panel's values, opened beside the board."""
    return DashboardLink(title).url(url).target_blank(True)


def _query(letter: str, query: Query) -> prometheus.Dataquery:
    built = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(PROMETHEUS)
    built = built.exemplar(query.exemplars)
    return built.legend_format(query.legend) if query.legend else built


def _steps(*steps: Threshold) -> ThresholdsConfig:
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(list(steps))
