"""The Jobs that back up the recovery directory and put it back: valid, confined, and for the volume of the workers."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest

from c360_stream.runtime.signals import STOP_SECONDS_MAX
from tests.deploy import kubernetes_tools, manifests
from tests.deploy.backup_job import BACKUP
from tests.deploy.manifests import Manifest, containers, find, of_kind
from tests.deploy.test_kubernetes import COMPONENT, KUBERNETES_VERSIONS, UID, labels_of_pods, selects

TASKS = {"example-backup": ("c360-backup", "take"), "example-restore": ("c360-restore", "restore")}
SECONDS_A_DAY = 86_400


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """What each overlay applies, by its name."""
    overlays = manifests.copy_of_manifests(tmp_path_factory.mktemp("manifests")) / "overlays"
    try:
        return {name: manifests.render(overlays / name) for name in ("example", "example-cluster", *TASKS)}
    except kubernetes_tools.ToolUnavailableError as error:
        kubernetes_tools.required(error)
        raise


@pytest.fixture(params=TASKS)
def applied(rendered: dict[str, list[Manifest]], request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered[request.param]


@pytest.fixture
def job(applied: list[Manifest]) -> Manifest:
    (job,) = of_kind(applied, "Job")
    return job


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_object_is_valid_by_the_published_schema(applied: list[Manifest], version: str) -> None:
    assert sorted(each["kind"] for each in applied) == ["ConfigMap", "Job", "PersistentVolumeClaim"]
    for manifest in applied:
        kubernetes_validate.validate(manifest, version, strict=True)
        assert manifest["metadata"]["namespace"] == manifests.NAMESPACE


def test_the_schema_refuses_what_it_does_not_know(job: Manifest) -> None:
    """So that the test above says something."""
    with pytest.raises(kubernetes_validate.ValidationError, match="deadline"):
        kubernetes_validate.validate({**job, "spec": {**job["spec"], "deadline": 1}}, "1.33", strict=True)


@pytest.mark.parametrize("overlay", TASKS)
def test_each_job_does_its_task_with_the_script_of_this_directory(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    name, task = TASKS[overlay]
    job = find(rendered[overlay], "Job", name)
    (container,) = containers(job)
    assert container["args"] == [task]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    shell, script = container["command"]
    assert shell == "bash"
    volumes = {each["name"]: each for each in job["spec"]["template"]["spec"]["volumes"]}
    config = volumes[mounts[str(Path(script).parent)]]["configMap"]["name"]
    content = (BACKUP / "recovery-backup.sh").read_text()
    assert find(rendered[overlay], "ConfigMap", config)["data"] == {Path(script).name: content}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert ("RESTORE_FROM" in variables) == (task == "restore")
    assert int(variables["LOCK_SECONDS_MAX"]) > 2 * STOP_SECONDS_MAX
    assert all(f"${{{name}" in content for name in variables), "a variable that the script does not read"


def test_it_has_the_workers_volume_image_and_user(rendered: dict[str, list[Manifest]], job: Manifest) -> None:
    spec = job["spec"]["template"]["spec"]
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in spec["volumes"]}
    worker = find(rendered["example"], "StatefulSet", "c360-worker")
    (template,) = worker["spec"]["volumeClaimTemplates"]
    (worker_container,) = worker["spec"]["template"]["spec"]["containers"]
    assert claims["recovery"] == {"claimName": f"{template['metadata']['name']}-{worker['metadata']['name']}-0"}
    (container,) = spec["containers"]
    assert container["image"] == worker_container["image"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert f"--recovery={variables['RECOVERY']}" in worker_container["command"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert Path(variables["RECOVERY"]).parent == Path(mounts["recovery"])
    assert variables["BACKUPS"] == mounts["backup"]
    assert spec["securityContext"] == worker["spec"]["template"]["spec"]["securityContext"]
    assert spec["serviceAccountName"] == worker["spec"]["template"]["spec"]["serviceAccountName"]


def test_the_volume_that_several_pods_share_is_the_one_that_the_example_names(
    rendered: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    overlay = manifests.copy_of_manifests(tmp_path) / "overlays" / "example-backup"
    example = (overlay / "kustomization.yaml").read_text()
    (overlay / "kustomization.yaml").write_text(re.sub(r"(?m)^#(?= {2})", "", example))
    (job,) = of_kind(manifests.render(overlay), "Job")
    claims = [each["persistentVolumeClaim"] for each in job["spec"]["template"]["spec"]["volumes"][:2]]
    assert claims == [{"claimName": "c360-recovery"}, {"claimName": "c360-backup"}]
    find(rendered["example-cluster"], "PersistentVolumeClaim", "c360-recovery")


def test_restore_reads_what_backup_has_written(rendered: dict[str, list[Manifest]]) -> None:
    claims = [find(rendered[name], "PersistentVolumeClaim", "c360-backup") for name in TASKS]
    assert claims[0] == claims[1]
    volumes = [of_kind(rendered[name], "Job")[0]["spec"]["template"]["spec"]["volumes"] for name in TASKS]
    assert volumes[0] == volumes[1]
    assert {"name": "backup", "persistentVolumeClaim": {"claimName": "c360-backup"}} in volumes[0]
    # As much as archives of all that the workers' volume can hold, twice.
    sizes = [claims[0], *find(rendered["example"], "StatefulSet", "c360-worker")["spec"]["volumeClaimTemplates"]]
    backup, recovery = (int(each["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) for each in sizes)
    assert backup >= 2 * recovery


def test_it_ends_once_and_leaves_its_log_for_a_day(job: Manifest) -> None:
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] > 0
    assert job["spec"]["ttlSecondsAfterFinished"] == SECONDS_A_DAY
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_its_pod_is_confined_and_nobody_takes_it_for_a_worker(
    rendered: dict[str, list[Manifest]], job: Manifest
) -> None:
    spec = job["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsUser"] == UID
    (container,) = containers(job)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    (labels,) = labels_of_pods([job])
    assert labels[COMPONENT] == "backup"
    for overlay in ("example", "example-cluster"):
        policies = of_kind(rendered[overlay], "NetworkPolicy")
        selectors = [each["spec"]["podSelector"].get("matchLabels") for each in policies]
        selectors += [each["spec"]["selector"] for each in of_kind(rendered[overlay], "Service")]
        for kind in ("StatefulSet", "Deployment", "PodDisruptionBudget"):
            selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(rendered[overlay], kind)]
        assert [each for each in selectors if each and selects(each, labels)] == []
