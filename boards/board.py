"""A board: its variables, its annotations, and rows of panels."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    CustomVariable,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    TextBoxVariable,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery as Annotation
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableModel,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.dashboard import DashboardLink as Link

from boards.panels import PROMETHEUS, RED, Panel

TAG = "shim"
CONSOLE = "http://127.0.0.1:8080"
"""Where the shim's own pages are, unless the board is told otherwise."""


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under one heading, laid out from left to right."""

    title: str
    panels: Sequence[Panel]


def make(uid: str, title: str, description: str, sections: Sequence[Section]) -> Dashboard:
    """A board of these sections, with what every board of the shim has."""
    board = Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    board = board.time("now-24h", "now").refresh("30s").timezone("browser")
    board = board.tooltip(DashboardCursorSync.CROSSHAIR).variables(_variables())
    board = board.annotations(_annotations()).links(_links())
    numbers = iter(range(1, 1000))
    for section in sections:
        board = board.with_row(Row(section.title).id(next(numbers)))
        for panel in section.panels:
            board = board.with_panel(panel.id(next(numbers)))
    return board


def _variables() -> list[Builder[VariableModel]]:
    return [
        DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _all(QueryVariable("job").label("Job"), "label_values(shim_connections, job)"),
        _all(
            QueryVariable("connection_kind").label("Connections"),
            'label_values(shim_connections{job=~"$job"}, connection_kind)',
        ),
        CustomVariable("window").label("Over").values("1h,6h,1d,7d").current(_option("1d")),
        TextBoxVariable("console")
        .label("Console")
        .default_value(CONSOLE)
        .current(_option(CONSOLE)),
    ]


def _all(variable: QueryVariable, query: str) -> QueryVariable:
    """A variable that is about everything until somebody chooses."""
    variable = variable.datasource(PROMETHEUS).query(query).multi(True).include_all(True)
    everything = VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).current(everything)


def _option(value: str) -> VariableOption:
    return VariableOption(selected=True, text=value, value=value)


def _annotations() -> list[Builder[Annotation]]:
    """What explains a step in the lines; Grafana draws a mark wherever a value is not 0."""
    return [
        _annotation("Brake", RED, 'changes(shim_brake_engaged{job=~"$job"}[$__rate_interval])'),
        _annotation("Guard", "orange", 'shim_guard_holding{job=~"$job"}'),
        _annotation(
            "Flags",
            "blue",
            'changes(shim_flags_loaded_timestamp_seconds{job=~"$job"}[$__rate_interval])',
        ),
    ]


def _annotation(name: str, colour: str, expr: str) -> AnnotationQuery:
    query = AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour)
    return query.expr(expr).step("1m").title_format(name).text_format("{{instance}}")


def _links() -> list[Builder[Link]]:
    boards = DashboardLink("Boards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True)
    console = DashboardLink("Console").type(DashboardLinkType.LINK).url("${console}")
    return [boards.include_vars(True), console.target_blank(True)]
