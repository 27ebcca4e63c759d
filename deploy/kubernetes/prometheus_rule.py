"""Writes components/monitoring/prometheusrule.yaml: the rules of deploy/prometheus/rules for the Prometheus operator.

`python -m deploy.kubernetes.prometheus_rule`, after every change there; a test asserts that none was forgotten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1]
RULES = DEPLOY / "prometheus" / "rules"
WRITTEN = DEPLOY / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
HEADER = "# Made from deploy/prometheus/rules by python -m deploy.kubernetes.prometheus_rule: change it there.\n"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def prometheus_rule() -> dict[str, Any]:
    """The custom resource: the groups of all files, in the order of their names."""
    groups = [group for file in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "c360",
            "namespace": "c360",
            "labels": {"app.kubernetes.io/name": "c360-stream"},
        },
        "spec": {"groups": groups},
    }


def document() -> str:
    """The file's content."""
    return HEADER + yaml.dump(prometheus_rule(), Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    WRITTEN.write_text(document())
