"""What a dashboard is made of, without Grafana's JSON: queries, fields, panels, sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

COLUMNS = 24
"""Width of a dashboard, in Grafana's units."""


class Source(Enum):
    """Where a query is answered: the uid of a provisioned data source."""

    PROMETHEUS = "c360-prometheus"
    CLICKHOUSE = "c360-clickhouse"


class Shape(Enum):
    """How the rows of an SQL query are meant.

    A table has a field a column. Wide series have the column `time` first and a numeric column a series. Long series
    have `time`, one column with the name of the series, and one number, ascending in time.
    """

    TABLE = "table"
    WIDE = "wide"
    LONG = "long"


class Kind(Enum):
    """How a panel draws: Grafana's name of the visualization."""

    STAT = "stat"
    TIME_SERIES = "timeseries"
    TABLE = "table"
    BARS = "barchart"


@dataclass(frozen=True)
class Query:
    """One question to one data source.

    Attributes
    ----------
    text
        PromQL or SQL, with Grafana's macros and the dashboard's variables in it; see `macros.expanded`.
    legend
        PromQL only: name of each series, with `{{label}}`.
    instant
        PromQL only: the value at the end of the range alone.
    shape
        SQL only.
    """

    text: str
    source: Source
    legend: str = ""
    instant: bool = False
    shape: Shape = Shape.TABLE


def promql(text: str, legend: str = "", *, instant: bool = False) -> Query:
    """A query to Prometheus."""
    return Query(text, Source.PROMETHEUS, legend=legend, instant=instant)


def sql(text: str, shape: Shape = Shape.TABLE) -> Query:
    """A query to ClickHouse; blank lines around it do not count."""
    return Query(text.strip(), Source.CLICKHOUSE, shape=shape)


@dataclass(frozen=True)
class Field:
    """One column of a table, or one series, by the name that the query gives it.

    Attributes
    ----------
    name
        Column or series.
    title
        What is shown in its place.
    unit
        Grafana's id; the panel's own if empty.
    decimals
        Digits after the point; as Grafana sees fit if None.
    colour
        Of a series or bar.
    width
        Of a column, in pixels; 0 for the rest.
    gauge
        Draw a column's cells as bars between the panel's minimum and maximum.
    words
        Of a column of words: each word and its colour.
    dashed
        Draw a series as a thin dashed line: a bound, not a value.
    """

    name: str
    title: str
    unit: str = ""
    decimals: int | None = None
    colour: str = ""
    width: int = 0
    gauge: bool = False
    words: tuple[tuple[str, str], ...] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Threshold:
    """From `value` on, the panel is in `colour`."""

    value: float
    colour: str


@dataclass(frozen=True)
class Panel:
    """One question with its answer.

    Attributes
    ----------
    title
        A question.
    description
        How to read the answer and what to do about it.
    unit
        Grafana's id of the unit of its numbers.
    kind, queries, fields
        What is drawn, from what. A table and wide series name every column as a field, in order.
    width, height
        In Grafana's units; a dashboard is 24 wide.
    base_colour, thresholds
        Colour below the first threshold; ascending thresholds.
    stacked
        Series are parts of a whole.
    as_share
        Stacked to 100%.
    bars
        A time series of counts per day or week: bars instead of lines.
    minimum, maximum, decimals
        Of the axis or gauge, and of its numbers.
    text
        A stat of a word, not of a number.
    no_value
        Shown where there is nothing to show.
    expects_data
        A demo run should have something here, at whatever time.
    no_data_reason
        Why not, where it should not.
    live_only
        Of SQL: tables of a replay, into which nobody sends heartbeats, have nothing here.
    """

    title: str
    description: str
    unit: str
    kind: Kind
    queries: tuple[Query, ...]
    fields: tuple[Field, ...] = ()
    width: int = 12
    height: int = 8
    base_colour: str = "green"
    thresholds: tuple[Threshold, ...] = ()
    stacked: bool = False
    as_share: bool = False
    bars: bool = False
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    text: bool = False
    no_value: str = ""
    expects_data: bool = True
    no_data_reason: str = ""
    live_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what no reader would understand."""
        if not self.title.endswith("?"):
            raise ValueError(f"panel {self.title!r} asks no question")
        if not self.description or not self.unit or not self.queries:
            raise ValueError(f"panel {self.title!r} lacks a description, a unit or a query")
        if self.expects_data == bool(self.no_data_reason):
            raise ValueError(f"panel {self.title!r}: a reason goes with no data, and only with it")
        if len({query.source for query in self.queries}) > 1:
            raise ValueError(f"panel {self.title!r} mixes data sources")

    @property
    def source(self) -> Source:
        """Where its queries are answered."""
        return self.queries[0].source


@dataclass(frozen=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Annotation:
    """Marks in time on every time series.

    Attributes
    ----------
    query
        SQL: the columns `time`, `title`, `text`, `tags`. PromQL: a mark where the value is above 0.
    title, text
        PromQL only: of a mark, with `{{label}}`.
    """

    name: str
    colour: str
    query: Query
    title: str = ""
    text: str = ""


@dataclass(frozen=True)
class Variable:
    """A choice above the panels; its value stands for `$name` in queries.

    The values are fixed here: text from the tables would end up inside of queries.

    Attributes
    ----------
    values
        What can be chosen; the first is the default.
    """

    name: str
    label: str
    description: str
    values: tuple[str, ...]

    @property
    def default(self) -> str:
        """What is chosen at first."""
        return self.values[0]


@dataclass(frozen=True)
class Dashboard:
    """Sections of panels, from top to bottom."""

    uid: str
    title: str
    description: str
    since: str
    refresh: str
    sections: tuple[Section, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    @property
    def name(self) -> str:
        """Name of its file, without `.json`."""
        return self.uid.removeprefix("c360-")

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, in order."""
        return (panel for section in self.sections for panel in section.panels)

    @property
    def defaults(self) -> dict[str, str]:
        """The value of each variable before anybody has chosen."""
        return {variable.name: variable.default for variable in self.variables}
