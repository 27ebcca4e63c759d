"""What checks the manifests and is no Python package: kustomize and the Prometheus operator's schemas, by Go."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CACHE = Path(__file__).parents[2] / ".cache" / "kubernetes"
FETCH_SECONDS_MAX = 600
RENDER_SECONDS_MAX = 60


class ToolUnavailableError(Exception):
    """Go is missing, or cannot fetch what is needed."""


def kustomize() -> Path:
    """The pinned kustomize, built once into the cache.

    Raises
    ------
    ToolUnavailableError
        If it is not there and cannot be built; the reason in one line.
    """
    ready = CACHE / KUSTOMIZE.replace("/", "_") / "kustomize"
    if ready.exists():
        return ready
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=CACHE) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: each would compile all of it
        if not ready.exists():
            _go("install", KUSTOMIZE, GOBIN=folder)
            ready.parent.mkdir(exist_ok=True)
            (Path(folder) / "kustomize").replace(ready)
    return ready


def operator_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a custom resource of the Prometheus operator, version v1, fetched once into the cache.

    Unknown fields are refused, as its API server would with strict validation.

    Raises
    ------
    ToolUnavailableError
        If it is not there and cannot be fetched; the reason in one line.
    """
    name = f"monitoring.coreos.com_{kind.lower()}s.yaml"
    ready = CACHE / OPERATOR.replace("/", "_") / name
    if not ready.exists():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "go.mod").write_text("module schemas\n")
            source = Path(json.loads(_go("mod", "download", "-json", OPERATOR, cwd=folder))["Dir"])
        ready.parent.mkdir(parents=True, exist_ok=True)
        written = ready.with_suffix(f".{os.getpid()}")
        shutil.copyfile(source / "example" / "prometheus-operator-crd" / name, written)
        written.replace(ready)
    versions = yaml.safe_load(ready.read_text())["spec"]["versions"]
    (schema,) = (version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1")
    return _strict(schema)


def required(tool: ToolUnavailableError) -> None:
    """Skip the test for want of a tool, or fail if `C360_REQUIRE_STACK=1`."""
    if os.environ.get("C360_REQUIRE_STACK") == "1":
        pytest.fail(f"C360_REQUIRE_STACK=1, but {tool}")
    pytest.skip(str(tool))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without room for fields that it does not name; Kubernetes' own words in JSON Schema's."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {name: _strict(inner) for name, inner in schema["properties"].items()}
        if "metadata" in schema["properties"] and "spec" in schema["properties"]:
            result["properties"]["metadata"] = {"type": "object"}
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            result[name] = _strict(schema[name])
    return result


def _go(*arguments: str, cwd: str | None = None, **variables: str) -> str:
    if shutil.which("go") is None:
        raise ToolUnavailableError(f"no go to fetch {arguments[-1]}")
    try:
        done = subprocess.run(
            ["go", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS_MAX,
            cwd=cwd,
            env={**os.environ, **variables},
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or ["no reason given"]
        raise ToolUnavailableError(f"go could not fetch {arguments[-1]}: {lines[-1][:300]}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolUnavailableError(f"go took over {FETCH_SECONDS_MAX} s to fetch {arguments[-1]}") from error
    return done.stdout
