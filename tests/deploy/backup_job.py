"""The Job that backs up a recovery directory, or puts it back, as a process of this machine.

Its command, its arguments and its variables are the manifest's; directories stand in for the volumes that it mounts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.deploy.manifests import KUBERNETES, Manifest, started

BACKUP = KUBERNETES / "backup"
JOB_SECONDS_MAX = 60


def job() -> Manifest:
    """The Job as it is written, before kustomize."""
    manifest: Manifest = yaml.safe_load((BACKUP / "job.yaml").read_text())
    return manifest


def run_job(
    task: str, volume: Path, backups: Path, before: Callable[[], None] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the Job's container to its end.

    Parameters
    ----------
    task
        `take` or `restore`.
    volume, backups
        What stands in for the volumes of the workers, which has the directory `recovery`, and of the archives.
    before
        Called in the process before it becomes the container's.
    variables
        In the place of the manifest's, or beside them.
    """
    manifest = job()
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    what = started([], manifest, {**container, "args": [task]})
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    here = {mounts["recovery"]: volume, mounts["backup"]: backups, mounts["script"]: BACKUP}

    def placed(text: str) -> str:
        for mount in sorted(here, key=len, reverse=True):
            if text == mount or text.startswith(f"{mount}/"):
                return f"{here[mount]}{text.removeprefix(mount)}"
        return text

    environment = {"PATH": os.environ["PATH"]} | {name: placed(value) for name, value in what.environment.items()}
    return subprocess.run(
        [placed(word) for word in what.command],
        env=environment | variables,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=JOB_SECONDS_MAX,
        preexec_fn=before,
    )
