"""Write the dashboards as files: `python -m deploy.dashboards`."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.dashboards import DASHBOARDS
from deploy.dashboards.grafana import document
from deploy.dashboards.panel import Dashboard

DIRECTORY = Path(__file__).parents[1] / "grafana" / "dashboards"


def text_of(dashboard: Dashboard) -> str:
    """What the dashboard's file holds: a panel a line, so that a change shows which panels it changes."""
    *head, (last, panels) = document(dashboard).items()
    lines = [f"{json.dumps({name: value}, ensure_ascii=False)[1:-1]}," for name, value in head]
    lines.append(f'"{last}": [')
    lines += [json.dumps(panel, ensure_ascii=False) + "," * (panel is not panels[-1]) for panel in panels]
    return "\n".join(["{", *lines, "]}"]) + "\n"


def main() -> None:
    """Write every dashboard."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.name}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
