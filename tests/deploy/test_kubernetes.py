"""The manifests of deploy/kubernetes: valid by the published schemas, consistent with each other and with the code."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml

from c360_stream.cli.main import cli
from c360_stream.runtime.cluster import ClusterMember, member_among
from c360_stream.runtime.signals import STOP_SECONDS_MAX
from c360_stream.settings import Settings
from c360_stream.settings.declaration import secret_fields
from deploy.kubernetes import prometheus_rule
from tests.deploy import kubernetes_tools, manifests
from tests.deploy.manifests import KUBERNETES, Manifest, containers, find, of_kind, started, workloads

KUBERNETES_VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())
OVERLAYS = ("example", "example-cluster")
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
UID = 10001
PROBE_PATHS = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """Everything that one of the examples applies."""
    copy = manifests.copy_of_manifests(tmp_path_factory.mktemp("manifests"))
    try:
        return manifests.render(copy / "overlays" / request.param)
    except kubernetes_tools.ToolUnavailableError as error:
        kubernetes_tools.required(error)
        raise


@pytest.fixture(scope="module")
def worker(overlay: list[Manifest]) -> Manifest:
    return find(overlay, "StatefulSet", "c360-worker")


def labels_of_pods(overlay: list[Manifest]) -> list[dict[str, str]]:
    return [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads(overlay)]


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def processes(worker: Manifest) -> int:
    """Of a pod."""
    (option,) = (word for word in worker["spec"]["template"]["spec"]["containers"][0]["command"] if "process" in word)
    return int(option.removeprefix("--processes=")) if option.startswith("--processes=") else 1


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_object_is_valid_by_the_published_schema(overlay: list[Manifest], version: str) -> None:
    for manifest in overlay:
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            try:
                schema = kubernetes_tools.operator_schema(manifest["kind"])
            except kubernetes_tools.ToolUnavailableError as error:
                kubernetes_tools.required(error)
                raise
            jsonschema.Draft202012Validator(schema).validate(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_refuse_what_they_do_not_know(overlay: list[Manifest]) -> None:
    """So that the test above says something."""
    monitor = find(overlay, "ServiceMonitor", "c360-worker")
    endpoints = [{**monitor["spec"]["endpoints"][0], "timeout": "10s"}]
    with pytest.raises(jsonschema.ValidationError, match="timeout"):
        jsonschema.Draft202012Validator(kubernetes_tools.operator_schema("ServiceMonitor")).validate(
            {**monitor, "spec": {**monitor["spec"], "endpoints": endpoints}}
        )
    worker = find(overlay, "StatefulSet", "c360-worker")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate({**worker, "spec": {**worker["spec"], "replica": 1}}, "1.33", strict=True)


def test_everything_is_in_the_namespace_and_has_a_name_of_its_own(overlay: list[Manifest]) -> None:
    spaces = {each["metadata"].get("namespace") for each in overlay if each["kind"] != "Namespace"}
    assert spaces == {manifests.NAMESPACE}
    names = [(each["kind"], each["metadata"]["name"]) for each in overlay]
    assert len(set(names)) == len(names)
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_variable_is_a_setting_and_its_value_is_understood(
    overlay: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fields = {f"C360_{name.upper()}" for name in Settings.model_fields}
    files = {f"C360_{name.upper()}_FILE" for name in secret_fields()}
    for workload in workloads(overlay):
        secrets = manifests.secret_files(overlay, workload)
        for container in containers(workload):
            environment = started(overlay, workload, container).environment
            ours = {name: value for name, value in environment.items() if name.startswith("C360_")}
            assert ours.keys() <= fields | files
            for name in ours.keys() & files:
                assert ours[name] in secrets
                place = tmp_path / Path(ours[name]).name
                place.write_bytes(secrets[ours[name]])
                ours[name] = str(place)
            with monkeypatch.context() as patch:
                for name, value in ours.items():
                    patch.setenv(name, value)
                settings = Settings()
            assert settings.uses_kafka
            # What needs no tables knows no way to them.
            assert settings.embedded_tables == (workload["kind"] == "Deployment")
            assert settings.kafka_ssl_ca_location in secrets
            assert settings.kafka_sasl_password.get_secret_value()


def test_every_command_is_one_of_ours_with_options_that_it_takes(overlay: list[Manifest]) -> None:
    seen = set()
    for workload in workloads(overlay):
        for container in containers(workload):
            for number in range(workload["spec"]["replicas"]):
                program, subcommand, *options = started(overlay, workload, container, number).command
                assert program == "c360"
                assert not any("$(" in word for word in options)
                command = cli.commands[subcommand]
                assert isinstance(command, click.Command)
                command.make_context(subcommand, options)
                seen.add(subcommand)
    assert seen >= {"setup", "run"}


def test_each_pod_of_a_cluster_finds_itself_and_the_others(overlay: list[Manifest], worker: Manifest) -> None:
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    replicas = worker["spec"]["replicas"]
    found = []
    for number in range(replicas):
        options = dict(word.split("=", 1) for word in started(overlay, worker, container, number).command[2:])
        if "--peers" not in options:
            assert replicas == 1, "several pods need --peers"
            return
        found.append(member_among(options["--peers"].split(","), int(options["--process"])))
    (port,) = (each["containerPort"] for each in container["ports"] if each["name"] == "peers")
    service = worker["spec"]["serviceName"]
    hosts = [
        f"{worker['metadata']['name']}-{number}.{service}.{manifests.NAMESPACE}.svc.cluster.local"
        for number in range(replicas)
    ]
    peers = tuple(f"{host}:{port}" for host in hosts)
    assert found == [ClusterMember(peers, number) for number in range(replicas)]
    assert find(overlay, "Service", service)["spec"]["publishNotReadyAddresses"]


def test_ports_are_those_that_the_processes_listen_at(overlay: list[Manifest], worker: Manifest) -> None:
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    environment = started(overlay, worker, container).environment
    first = int(environment["C360_METRICS_ADDRESS"].rpartition(":")[2])
    assert environment["C360_METRICS_ADDRESS"].startswith("0.0.0.0:"), "nobody could scrape it"
    listening = set(range(first, first + processes(worker)))
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert {port for name, port in ports.items() if name.startswith("metrics")} == listening
    (service,) = of_kind(overlay, "Service")
    assert {each["targetPort"]: each["port"] for each in service["spec"]["ports"]} == ports
    (monitor,) = of_kind(overlay, "ServiceMonitor")
    assert {ports[each["port"]] for each in monitor["spec"]["endpoints"]} == listening
    if worker["spec"]["replicas"] > 1:
        assert environment["C360_METRICS_PORT_FIXED"] == "true"
    for probe, path in PROBE_PATHS.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
        assert container[probe]["timeoutSeconds"] >= 5, "a tick or a snapshot may keep the interpreter that long"


def test_probes_and_grace_leave_the_run_its_own_time(overlay: list[Manifest], worker: Manifest) -> None:
    spec = worker["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["terminationGracePeriodSeconds"] >= 3 * STOP_SECONDS_MAX
    liveness = container["livenessProbe"]
    stall_seconds = int(started(overlay, worker, container).environment["C360_STALL_SECONDS_MAX"])
    # /livez fails when the run's own watchdog acts: it shall have said why it ends before the kubelet ends it.
    assert liveness["periodSeconds"] * (liveness["failureThreshold"] - 1) >= 30
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= stall_seconds


def test_selectors_find_what_they_are_for(overlay: list[Manifest]) -> None:
    pods = labels_of_pods(overlay)
    for workload in workloads(overlay):
        selector = workload["spec"]["selector"]["matchLabels"]
        assert [labels for labels in pods if selects(selector, labels)] == [
            workload["spec"]["template"]["metadata"]["labels"]
        ]
    workers = [labels for labels in pods if labels[COMPONENT] == "worker"]
    (service,) = of_kind(overlay, "Service")
    (budget,) = of_kind(overlay, "PodDisruptionBudget")
    for selector in (service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]):
        assert [labels for labels in pods if selects(selector, labels)] == workers
    (monitor,) = of_kind(overlay, "ServiceMonitor")
    assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert {each["targetLabel"]: each.get("replacement") for each in monitor["spec"]["endpoints"][0]["relabelings"]}[
        "job"
    ] == "c360"


def test_names_of_other_objects_exist(overlay: list[Manifest]) -> None:
    for workload in workloads(overlay):
        spec = workload["spec"]["template"]["spec"]
        find(overlay, "ServiceAccount", spec["serviceAccountName"])
        assert [find(overlay, "Secret", name) for name in manifests.secret_names(workload)]
        claims = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                find(overlay, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        known = claims | {volume["name"] for volume in spec["volumes"]}
        for container in containers(workload):
            assert {mount["name"] for mount in container["volumeMounts"]} <= known
            for source in container["envFrom"]:
                find(overlay, "ConfigMap", source["configMapRef"]["name"])


def test_the_recovery_directory_is_on_a_volume_that_outlives_the_pod(overlay: list[Manifest], worker: Manifest) -> None:
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    (option,) = (word for word in container["command"] if word.startswith("--recovery="))
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "recovery")
    # Beneath the volume's own directory, which belongs to root: the run makes this one, for itself alone.
    assert Path(option.removeprefix("--recovery=")).parent == Path(mount["mountPath"])
    templates = worker["spec"].get("volumeClaimTemplates", [])
    claims = [each["spec"] for each in [*templates, *of_kind(overlay, "PersistentVolumeClaim")]]
    mode = "ReadWriteOnce" if worker["spec"]["replicas"] == 1 else "ReadWriteMany"
    assert [claim["accessModes"] for claim in claims] == [[mode]]


def test_pods_of_a_cluster_are_not_replaced_one_by_one(worker: Manifest) -> None:
    """Else some would be of another release, or have another list of peers, than those that they work with."""
    assert worker["spec"]["podManagementPolicy"] == "Parallel"
    alone = worker["spec"]["replicas"] == 1
    assert worker["spec"]["updateStrategy"] == {"type": "RollingUpdate" if alone else "OnDelete"}


def test_pods_are_confined(overlay: list[Manifest]) -> None:
    for workload in workloads(overlay):
        spec = workload["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        context = spec["securityContext"]
        assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {UID}
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all("hostPath" not in volume for volume in spec["volumes"])
        assert {each["projected"]["defaultMode"] for each in spec["volumes"] if "projected" in each} == {0o440}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert (places["secrets"], places["tmp"]) == (manifests.SECRETS_MOUNT, "/tmp")
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
    (account,) = of_kind(overlay, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False


def test_images_have_a_tag(overlay: list[Manifest]) -> None:
    images = {container["image"] for workload in workloads(overlay) for container in containers(workload)}
    (image,) = images
    tag = image.rpartition("/")[2].partition(":")[2]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tag)


def egress(overlay: list[Manifest], name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = find(overlay, "NetworkPolicy", name)["spec"]["egress"]
    return rules


def test_only_what_is_needed_goes_through_the_network(overlay: list[Manifest], worker: Manifest) -> None:
    deny = find(overlay, "NetworkPolicy", "c360-default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    settings = started(overlay, worker, container).environment
    (kafka,) = egress(overlay, "c360-kafka")
    assert [each["port"] for each in kafka["ports"]] == [int(settings["C360_KAFKA_BROKERS"].rpartition(":")[2])]
    (clickhouse,) = egress(overlay, "c360-clickhouse")
    assert [each["port"] for each in clickhouse["ports"]] == [
        int(re.findall(r":(\d+)/", manifests.SECRETS["clickhouse-dsn"])[0])
    ]
    (dns,) = egress(overlay, "c360-dns")
    assert {(each["protocol"], each["port"]) for each in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    # Nothing but the DNS server's own label: with one of ours beside it, it would find nobody.
    assert dns["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    allowed = [rule for each in of_kind(overlay, "NetworkPolicy") for rule in each["spec"].get("ingress", [])]
    open_ports = {
        (port["port"], *sorted(str(source) for source in rule["from"])) for rule in allowed for port in rule["ports"]
    }
    monitoring = str({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}})
    expected = {(8361, monitoring), (8362, monitoring)}
    if worker["spec"]["replicas"] > 1:
        workers = {"podSelector": {"matchLabels": {COMPONENT: "worker", NAME: "c360-stream"}}}
        expected.add((9300, str(workers)))
        peers = find(overlay, "NetworkPolicy", "c360-peers")["spec"]
        assert peers["podSelector"] == workers["podSelector"]
        assert peers["egress"] == [{"to": [workers], "ports": [{"protocol": "TCP", "port": 9300}]}]
    assert open_ports == expected


def test_no_secret_is_in_the_repository(overlay: list[Manifest]) -> None:
    ignored = (KUBERNETES.parents[1] / ".gitignore").read_text().splitlines()
    assert "deploy/kubernetes/overlays/*/secrets/" in ignored
    for file in KUBERNETES.rglob("*.yaml"):
        if "secrets" not in file.parts:
            assert all(each["kind"] != "Secret" for each in yaml.safe_load_all(file.read_text()) if each), file
    kept = {name: text for secret in of_kind(overlay, "Secret") for name, text in secret["data"].items()}
    assert {name: base64.b64decode(text).decode() for name, text in kept.items()} == manifests.SECRETS
    public = {f"C360_{name.upper()}" for name in Settings.model_fields if name not in secret_fields()}
    assert all(config["data"].keys() <= public for config in of_kind(overlay, "ConfigMap"))


def test_the_rules_are_those_of_prometheus(overlay: list[Manifest]) -> None:
    assert prometheus_rule.WRITTEN.read_text() == prometheus_rule.document(), (
        "run python -m deploy.kubernetes.prometheus_rule"
    )
    (rule,) = of_kind(overlay, "PrometheusRule")
    assert rule["spec"] == prometheus_rule.prometheus_rule()["spec"]
