"""The Grafana dashboards as code: what each panel asks and shows.

`python -m deploy.dashboards` (`make dashboards`) writes them to `deploy/grafana/dashboards`, where Grafana reads them.
"""

from __future__ import annotations

from deploy.dashboards.business import BUSINESS
from deploy.dashboards.model import MODEL
from deploy.dashboards.operations import OPERATIONS
from deploy.dashboards.panel import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (OPERATIONS, MODEL, BUSINESS)
"""All dashboards."""
