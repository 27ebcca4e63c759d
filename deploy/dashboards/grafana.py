"""Dashboards in Grafana's JSON."""

from __future__ import annotations

from typing import Any

from deploy.dashboards.panel import (
    COLUMNS,
    Annotation,
    Dashboard,
    Field,
    Kind,
    Panel,
    Query,
    Shape,
    Source,
    Variable,
)

SCHEMA_VERSION = 42
"""Of Grafana 12 and 13."""
PLUGIN_TYPES = {Source.PROMETHEUS: "prometheus", Source.CLICKHOUSE: "grafana-clickhouse-datasource"}
# The ClickHouse plugin takes a query without a version for one of release 3 and rewrites it.
CLICKHOUSE_PLUGIN_VERSION = "4.20.0"
_TABLE_FORMAT, _SERIES_FORMAT = 1, 0
_ROW_HEIGHT = 1

Json = dict[str, Any]

TAG = "c360"
_LINKS: Json = {
    "title": TAG,
    "type": "dashboards",
    "tags": [TAG],
    "icon": "external link",
    "asDropdown": False,
    # Each has a range of its own: hours for the pipeline, months for outcomes.
    "keepTime": False,
    "includeVars": False,
    "targetBlank": False,
}


def document(dashboard: Dashboard) -> Json:
    """The JSON of a dashboard, with links to all that have the same tag."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": dashboard.refresh,
        "time": {"from": dashboard.since, "to": "now"},
        "links": [_LINKS],
        "templating": {"list": [_variable(variable) for variable in dashboard.variables]},
        "annotations": {"list": [_annotation(annotation) for annotation in dashboard.annotations]},
        "panels": _panels(dashboard),
    }


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.label,
        "description": variable.description,
        "type": "custom",
        "query": ",".join(variable.values),
        "current": {"text": variable.default, "value": variable.default},
        "options": [
            {"text": value, "value": value, "selected": value == variable.default} for value in variable.values
        ],
        "includeAll": False,
        "multi": False,
    }


def _annotation(annotation: Annotation) -> Json:
    query = annotation.query
    common = {
        "name": annotation.name,
        "datasource": _source(query.source),
        "enable": True,
        "hide": False,
        "iconColor": annotation.colour,
    }
    if query.source is Source.PROMETHEUS:
        target = {"refId": "Anno", "expr": query.text, "interval": "60s"}
        return {**common, "target": target, "titleFormat": annotation.title, "textFormat": annotation.text}
    return {**common, "target": _target(query, "Anno")}


def _panels(dashboard: Dashboard) -> list[Json]:
    """All panels, laid out from left to right and from top to bottom, each section under its heading."""
    panels: list[Json] = []
    top = 0
    for section in dashboard.sections:
        place = {"h": _ROW_HEIGHT, "w": COLUMNS, "x": 0, "y": top}
        heading = {"id": len(panels) + 1, "type": "row", "title": section.title, "collapsed": False}
        panels.append({**heading, "gridPos": place, "panels": []})
        top += _ROW_HEIGHT
        left = line_height = 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                top, left, line_height = top + line_height, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            panels.append(_panel(panel, len(panels) + 1, place))
            left, line_height = left + panel.width, max(line_height, panel.height)
        top += line_height
    return panels


def _panel(panel: Panel, number: int, place: Json) -> Json:
    described = {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _source(panel.source),
        "gridPos": place,
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": [_override(field) for field in panel.fields],
        },
        "options": _options(panel),
        "targets": [_target(query, chr(ord("A") + place)) for place, query in enumerate(panel.queries)],
    }
    if panel.kind is Kind.TABLE and panel.source is Source.PROMETHEUS:
        # Every row of an instant query has the same time.
        described["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]
    return described


def _source(source: Source) -> Json:
    return {"type": PLUGIN_TYPES[source], "uid": source.value}


def _target(query: Query, reference: str) -> Json:
    common: Json = {"refId": reference, "datasource": _source(query.source)}
    if query.source is Source.PROMETHEUS:
        mode = {"instant": query.instant, "range": not query.instant}
        shown = {"format": "table" if query.instant else "time_series", "legendFormat": query.legend or "__auto"}
        return {**common, "editorMode": "code", "expr": query.text, **mode, **shown}
    # Wide rows are drawn as they are; only long ones are turned into a series each.
    long = query.shape is Shape.LONG
    return {
        **common,
        "editorType": "sql",
        "pluginVersion": CLICKHOUSE_PLUGIN_VERSION,
        "queryType": "timeseries" if long else "table",
        "format": _SERIES_FORMAT if long else _TABLE_FORMAT,
        "rawSql": query.text,
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": panel.base_colour, "value": None}]
    steps += [{"color": each.colour, "value": each.value} for each in panel.thresholds]
    defaults: Json = {"unit": panel.unit}
    optional = {"decimals": panel.decimals, "min": panel.minimum, "max": panel.maximum}
    defaults |= {name: value for name, value in optional.items() if value is not None}
    if panel.no_value:
        defaults["noValue"] = panel.no_value
    if any(query.shape is Shape.LONG for query in panel.queries):
        # Of a long row only the label names the series.
        defaults["displayName"] = "${__field.labels.series}"
    by_value = panel.kind in (Kind.STAT, Kind.TABLE)
    defaults["color"] = {"mode": "thresholds" if by_value else "palette-classic"}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind is Kind.TIME_SERIES:
        defaults["custom"] = _drawing(panel)
    elif panel.kind is Kind.TABLE:
        defaults["custom"] = {"align": "auto", "filterable": True}
    elif panel.kind is Kind.BARS:
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    return defaults


def _drawing(panel: Panel) -> Json:
    mode = "percent" if panel.as_share else "normal" if panel.stacked else "none"
    return {
        "drawStyle": "bars" if panel.bars else "line",
        "lineWidth": 1,
        "fillOpacity": 70 if panel.bars else 40 if panel.stacked else 0,
        "showPoints": "never" if panel.source is Source.PROMETHEUS or panel.bars else "auto",
        # Tables have one row per day or week: a line joins them whatever the width of the screen.
        "spanNulls": panel.source is Source.CLICKHOUSE,
        "stacking": {"mode": mode, "group": "A"},
        "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
    }


def _override(field: Field) -> Json:
    properties: list[Json] = [{"id": "displayName", "value": field.title}]
    if field.unit:
        properties.append({"id": "unit", "value": field.unit})
    if field.decimals is not None:
        properties.append({"id": "decimals", "value": field.decimals})
    if field.colour:
        properties.append({"id": "color", "value": {"mode": "fixed", "fixedColor": field.colour}})
    if field.width:
        properties.append({"id": "custom.width", "value": field.width})
    if field.gauge:
        cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        properties.append({"id": "custom.cellOptions", "value": cell})
    if field.words:
        colours = {word: {"color": colour, "index": place} for place, (word, colour) in enumerate(field.words)}
        properties.append({"id": "mappings", "value": [{"type": "value", "options": colours}]})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    if field.dashed:
        properties.append({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [4, 6]}})
    return {"matcher": {"id": "byName", "options": field.name}, "properties": properties}


def _options(panel: Panel) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    tooltip = {"mode": "multi", "sort": "desc"}
    if panel.kind is Kind.STAT:
        fields = "/.*/" if panel.text else ""
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": fields, "values": False},
            "colorMode": "value",
            "graphMode": "area" if panel.source is Source.PROMETHEUS else "none",
            "textMode": "auto",
        }
    if panel.kind is Kind.TABLE:
        return {"showHeader": True, "cellHeight": "sm"}
    if panel.kind is Kind.BARS:
        axis = {"xField": panel.fields[0].name, "stacking": "normal" if panel.stacked else "none"}
        return {**axis, "showValue": "never", "legend": legend, "tooltip": tooltip}
    return {"legend": {**legend, "calcs": ["lastNotNull"]}, "tooltip": tooltip}
