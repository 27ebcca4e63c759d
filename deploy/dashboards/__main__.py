"""Write the dashboards as files: `python -m deploy.dashboards`."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.dashboards import DASHBOARDS
from deploy.dashboards.grafana import document
from deploy.dashboards.panel import Dashboard

DIRECTORY = Path(__file__).parents[1] / "grafana" / "dashboards"


def text_of(dashboard: Dashboard) -> str:
    """What the dashboard's file holds."""
    return json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every dashboard."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.name}.json").write_text(text_of(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
