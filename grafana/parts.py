"""What the dashboards are made of: data sources, queries, panels with a unit, a meaning and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

POSTGRES = models.DataSourceRef("grafana-postgresql-datasource", "fleet-postgres")
PROMETHEUS = models.DataSourceRef("prometheus", "fleet-prometheus")

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "#EAB839", "orange", "red", "blue", "#8e8e8e"
HEALTH_COLORS = {"ok": GREEN, "attention": YELLOW, "fault": ORANGE, "silent": RED, "unknown": GREY}

Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""Thresholds: from which value (None: from the beginning) which colour."""
Properties: TypeAlias = Mapping[str, Any]
AnyPanel: TypeAlias = builder.Builder[models.Panel]

# Every table and figure about kits is narrowed by the two choices at the top of the dashboard.
CHOSEN = (
    "coalesce(organisation, '(none)') IN (${organisation:sqlstring})"
    " AND (${kit:sqlstring} = '' OR starts_with(kit, ${kit:sqlstring}))"
)
CHOSEN_KIT = f"kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})"


class SqlQuery(variants.Dataquery):
    """A query of the PostgreSQL data source, for which the SDK has no type."""

    def __init__(self, sql: str, ref_id: str, *, time_series: bool) -> None:
        self.sql = sql
        self.ref_id = ref_id
        self.time_series = time_series

    def to_json(self) -> dict[str, object]:
        """As Grafana's code editor stores it."""
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "time_series" if self.time_series else "table",
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": self.ref_id,
        }


class Sql(builder.Builder[variants.Dataquery]):
    """Builds a SqlQuery."""

    def __init__(self, sql: str, ref_id: str = "A", *, time_series: bool = False) -> None:
        self.query = SqlQuery(" ".join(sql.split()), ref_id, time_series=time_series)

    def build(self) -> variants.Dataquery:
        """The query."""
        return self.query


def prom(*series: tuple[str, str], instant: bool = False) -> list[prometheus.Dataquery]:
    """Prometheus queries from (expression, legend); the SDK leaves naming them to us."""
    queries = []
    for ref_id, (expression, legend) in zip("ABCDEFGH", series, strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id).datasource(PROMETHEUS)
        queries.append(query.instant() if instant else query.range())
    return queries


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel's data comes from, and its size on the grid of 24 columns."""

    targets: Sequence[builder.Builder[variants.Dataquery]]
    width: int
    height: int

    @property
    def datasource(self) -> models.DataSourceRef:
        """Of the queries, which never mix."""
        return POSTGRES if isinstance(self.targets[0], Sql) else PROMETHEUS


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds."""
    config = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value, color) for value, color in steps])


def value_colors(colors: Mapping[str, str]) -> list[models.ValueMapping]:
    """Give each text its colour."""
    return [
        models.ValueMap(
            {text: models.ValueMappingResult(color=color, index=n) for n, (text, color) in enumerate(colors.items())}
        )
    ]


def properties(values: Properties) -> list[models.DynamicConfigValue]:
    """Overrides of one column."""
    return [models.DynamicConfigValue(key, value) for key, value in values.items()]


def _dress(panel: Any, title: str, description: str, place: Place) -> Any:
    """What every panel has."""
    panel.title(title).description(description).datasource(place.datasource)
    return panel.targets(list(place.targets)).span(place.width).height(place.height)


def figure(
    title: str,
    description: str,
    place: Place,
    *,
    unit: str = "none",
    steps: Steps = ((None, GREEN),),
    mappings: list[models.ValueMapping] | None = None,
    text: bool = False,
) -> stat.Panel:
    """One number (or, with `text`, one word) with its colour."""
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("/.*/" if text else "")
    panel: stat.Panel = _dress(stat.Panel(), title, description, place)
    panel.unit(unit).thresholds(thresholds(steps)).reduce_options(reduce).no_value("-")
    panel.color_mode(common_models.BigValueColorMode.BACKGROUND).graph_mode(common_models.BigValueGraphMode.NONE)
    panel.text_mode(common_models.BigValueTextMode.VALUE)
    return panel.mappings(mappings) if mappings else panel


def bars(
    title: str,
    description: str,
    place: Place,
    names: str,
    *,
    lengths: str = "kits",
    colors: Mapping[str, str] | None = None,
) -> AnyPanel:
    """One bar per row: the column `names` names it, the column `lengths` is its length."""
    panel: bargauge.Panel = _dress(bargauge.Panel(), title, description, place)
    panel.unit("none").min(0).orientation(common_models.VizOrientation.HORIZONTAL).thresholds(
        thresholds([(None, BLUE)])
    )
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.display_mode(common_models.BarGaugeDisplayMode.BASIC).value_mode(common_models.BarGaugeValueMode.TEXT)
    # Each row becomes a field of its own, for colours go by the name of a field.
    columns = [{"fieldName": names, "handlerKey": "field.name"}, {"fieldName": lengths, "handlerKey": "field.value"}]
    panel.with_transformation(models.DataTransformerConfig(id_val="rowsToFields", options={"mappings": columns}))
    for name, color in (colors or {}).items():
        panel.override_by_name(name, properties({"color": {"mode": "fixed", "fixedColor": color}}))
    return panel.no_value("none")


def listing(title: str, description: str, place: Place, columns: Mapping[str, Properties]) -> table.Panel:
    """A table; `columns` gives titles, units, links and colours by column name."""
    panel: table.Panel = _dress(table.Panel(), title, description, place)
    panel.cell_height(common_models.TableCellHeight.SM).no_value("none")
    for name, values in columns.items():
        panel.override_by_name(name, properties(values))
    return panel


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as a value: what it says, asks and shows; `{ours}` in its query is what chooses the organisations."""

    title: str
    description: str
    sql: str
    columns: Mapping[str, Properties]
    width: int
    height: int

    def panel(self, ours: str = "") -> table.Panel:
        """The panel."""
        place = Place([Sql(self.sql.replace("{ours}", ours))], width=self.width, height=self.height)
        return listing(self.title, self.description, place, self.columns)


def lines(
    title: str,
    description: str,
    place: Place,
    *,
    unit: str,
    steps: Steps | None = None,
    stacked: bool = False,
    decimals: int | None = None,
) -> timeseries.Panel:
    """Series over time from zero up, with a table of last and highest values as legend."""
    panel: timeseries.Panel = _dress(timeseries.Panel(), title, description, place)
    panel.unit(unit).min(0).line_width(1).fill_opacity(30 if stacked else 8)
    panel.show_points(common_models.VisibilityMode.NEVER).no_value("no data")
    panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if steps:
        panel.thresholds(thresholds(steps))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED))
    return panel if decimals is None else panel.decimals(decimals)


def frame(title: str, uid: str, description: str, *, tags: list[str], refresh: str, since: str) -> dashboard.Dashboard:
    """An empty dashboard in the reader's own time zone, with a link to its sibling."""
    other = (
        dashboard.DashboardLink("Other fleet dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["fleet"])
        .keep_time(True)
        .include_vars(False)
    )
    console = (
        dashboard.DashboardLink("Console")
        .type(models.DashboardLinkType.LINK)
        .url("${console}/")
        .icon("external link")
        .target_blank(True)
    )
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["fleet", *tags])
    made.refresh(refresh).time(since, "now").timezone("browser").readonly().link(other).link(console)
    made.tooltip(models.DashboardCursorSync.CROSSHAIR)
    address = dashboard.TextBoxVariable("console").label("Console").default_value("http://localhost:8000")
    return made.with_variable(
        address.description("Address of the console, for links").hide(models.VariableHide.HIDE_VARIABLE)
    )
