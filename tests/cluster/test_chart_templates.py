"""What the chart makes of its values: judged by Helm, by the API server, and by the schemas of the kinds of others."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import promql_parser
import pytest
import yaml
from tests.cluster.binaries import HELM, Program
from tests.cluster.control_plane import ControlPlane
from tests.conftest import until

from mailboat.api.main import DRAIN_SECONDS
from mailboat.db.states import Lane, State
from mailboat.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/mailboat"
TRIAL, PRODUCTION = (f"--values={CHART}/examples/{name}.yaml" for name in ("trial", "production"))
BUSY = (  # what production leaves out
    "--set=monitoring.podMonitor.enabled=true,monitoring.port=9191,networkPolicy.enabled=true,worker.autoscaling.enabled=true",
    "--set=ingress.api.enabled=true,ingress.webhooks.enabled=true,operator.watchNamespaces={shop,news},operator.replicas=3",
    "--set=api.replicas=3,service.type=NodePort,service.port=8080,templates.configMap=templates,smtp.existingSecret=relay",
)
KEDA = ("--set=worker.keda.enabled=true",)
VARIANTS = {"defaults": (), "trial": (TRIAL,), "production": (PRODUCTION,), "busy": BUSY, "keda": KEDA}
EXTRAS: Any = {
    "podLabels": {"team": "mail"},
    "podAnnotations": {"example.com/note": "yes"},
    "priorityClassName": "important",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "mail", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
}
CONTAINED: Any = {
    "extraEnv": [{"name": "EXTRA", "value": "one"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "more", "secret": {"secretName": "more"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
}
EXTERNAL = {"database": {"existingSecret": "db"}, "valkey": {"existingSecret": "vk"}}

Helm = Callable[..., subprocess.CompletedProcess[str]]
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def helm(build: Callable[[list[Program]], Path]) -> Helm:
    """helm(word, …, values={}): what became of it."""
    program = build([*HELM]) / "helm"

    def run(*words: str, values: Any = None) -> subprocess.CompletedProcess[str]:
        given = ["--values", "-"] if values is not None else []
        text = yaml.safe_dump(values) if values is not None else None
        return subprocess.run([program, *words, *given], capture_output=True, text=True, check=False, input=text)

    return run


@pytest.fixture(scope="session")
def manifests(helm: Helm) -> Callable[..., list[Manifest]]:
    """manifests(flag, …, values={}): what `helm template` writes, without our definitions."""

    def render(*flags: str, values: Any = None) -> list[Manifest]:
        done = helm(
            "template", "mailboat", str(CHART), "--namespace=mail", "--set=crds.enabled=false", *flags, values=values
        )
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    return render


def only(found: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one of this kind, or of this kind and name."""
    (one,) = (m for m in found if m["kind"] == kind and (not name or m["metadata"]["name"] == f"mailboat-{name}"))
    return one


def of(found: list[Manifest], kind: str) -> set[str]:
    """The names of this kind, without the release's."""
    return {m["metadata"]["name"].removeprefix("mailboat-") for m in found if m["kind"] == kind}


def pod(found: list[Manifest], component: str) -> Manifest:
    """The template of its pods."""
    kind = {"data": "StatefulSet", "migrate": "Job"}.get(component, "Deployment")
    template: Manifest = only(found, kind, component)["spec"]["template"]
    return template


def environment(template: Manifest) -> dict[str, Any]:
    """Variable to value, or to what it comes from. Each is there once."""
    listed = template["spec"]["containers"][0]["env"]
    found = {one["name"]: one.get("value", one.get("valueFrom")) for one in listed}
    assert len(found) == len(listed)
    return found


# --- the three judges


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_finds_nothing_wrong(helm: Helm, variant: str) -> None:
    done = helm("lint", "--strict", str(CHART), *VARIANTS[variant])
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def judged(cluster: ControlPlane, found: list[Manifest]) -> tuple[list[str], str]:
    """What the API server would do with each, and its warnings, which Pod Security has for forbidden pods."""
    namespace = cluster.namespace()
    cluster.kubectl(
        "create", "serviceaccount", "mailboat", "--namespace", namespace
    )  # what a pod needs even in a dry run
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
    for one in found:
        if not one["kind"].startswith("Cluster"):
            one["metadata"]["namespace"] = namespace
    flags = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts")
    done = cluster.kubectl("apply", *flags, "-f", "-", input=yaml.safe_dump_all(found))
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_every_manifest_and_sees_restricted_pods(
    cluster: ControlPlane, manifests: Any, variant: str
) -> None:
    builtin = [one for one in manifests(*VARIANTS[variant]) if one["apiVersion"].partition("/")[0] not in others()]
    done, warnings = judged(cluster, builtin)
    assert (len(done), warnings) == (len(builtin), "")


def test_the_api_server_warns_of_pods_that_may_be_root(cluster: ControlPlane, manifests: Any) -> None:
    _, warnings = judged(cluster, [only(manifests("--set=podSecurityContext.runAsNonRoot=false"), "Deployment", "api")])
    assert "runAsNonRoot" in warnings


def others() -> dict[str, dict[str, Any]]:
    """API group of somebody else to kind to its schema."""
    folder = ROOT / "tests/contract/schemas"
    files = {"monitoring.coreos.com": "monitoring.json", "keda.sh": "keda.json"}
    return {group: json.loads((folder / name).read_text()) for group, name in files.items()}


@pytest.mark.parametrize("variant", ["production", "busy", "keda"])
def test_the_kinds_of_others_have_the_fields_that_those_know(manifests: Any, variant: str) -> None:
    schemas, seen = others(), set()
    for one in manifests(*VARIANTS[variant]):
        if kinds := schemas.get(one["apiVersion"].partition("/")[0]):
            seen.add(one["kind"])
            faults = jsonschema_rs.validator_for(kinds[one["kind"]]).iter_errors(one)
            assert [f"{fault.instance_path}: {fault.message}" for fault in faults] == []
    wanted = {
        "production": {"ServiceMonitor", "PrometheusRule", "ScaledObject"},
        "busy": {"PodMonitor"},
        "keda": {"ScaledObject", "TriggerAuthentication"},
    }
    assert seen == wanted[variant]


# --- values that cannot be


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("api.replicas=two", "/api/replicas"),
        ("api.replicsa=2", "replicsa"),
        ("worker.keda.minReplicas=0", "/worker/keda/minReplicas"),
        ("ingress.api.hosts={Mail.Example.com/}", "/ingress/api/hosts/0"),
        ("ingress.api.paths={v1}", "/ingress/api/paths/0"),
        ("monitoring.serviceMonitor.interval=half a minute", "/monitoring/serviceMonitor/interval"),
        ("networkPolicy.providers.ports={70000}", "/networkPolicy/providers/ports/0"),
        ("settings.DATABASE_URL=postgresql://db", "DATABASE_URL"),
        ("data.persistence.size=2 gigabytes", "/data/persistence/size"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("database.existingSecret=db", "valkey.existingSecret"),
        ("worker.keda.enabled=true,worker.autoscaling.enabled=true", "worker.autoscaling.enabled"),
        ("worker.keda.enabled=true,worker.keda.minReplicas=3,worker.keda.maxReplicas=2", "worker.keda.maxReplicas"),
        ("api.autoscaling.enabled=true,api.autoscaling.maxReplicas=1", "api.autoscaling.maxReplicas"),
        ("monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true", "monitoring.podMonitor.enabled"),
        ("operator.serviceAccount.create=false", "operator.serviceAccount.name"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, given: str, named: str) -> None:
    done = helm("template", "mailboat", str(CHART), f"--set={given}")
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert named in done.stderr, done.stderr


# --- pods


@pytest.mark.parametrize("component", ["api", "worker", "operator", "migrate", "data"])
def test_a_component_has_what_it_is_given(manifests: Any, component: str) -> None:
    inside = {} if component == "data" else CONTAINED
    values = {"migration" if component == "migrate" else component: EXTRAS | inside}
    template = pod(manifests(values=values | (EXTERNAL if component == "migrate" else {})), component)
    spec = template["spec"]
    assert template["metadata"]["labels"]["team"] == "mail"
    assert template["metadata"]["annotations"] == EXTRAS["podAnnotations"]
    for field in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert spec[field] == EXTRAS[field]
    (spread,) = spec["topologySpreadConstraints"]
    assert (spread["maxSkew"], spread["topologyKey"], spread["whenUnsatisfiable"]) == (2, "zone", "DoNotSchedule")
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    if inside:
        container = spec["containers"][0]
        assert environment(template)["EXTRA"] == "one"
        assert container["envFrom"] == CONTAINED["extraEnvFrom"]
        assert CONTAINED["extraVolumes"][0] in spec["volumes"]
        assert CONTAINED["extraVolumeMounts"][0] in container["volumeMounts"]


def test_the_pod_of_helm_test_goes_where_the_migration_goes(manifests: Any) -> None:
    spec = only(manifests(values={"migration": EXTRAS}), "Pod")["spec"]
    assert (spec["nodeSelector"], spec["tolerations"]) == (EXTRAS["nodeSelector"], EXTRAS["tolerations"])
    assert "nodeSelector" not in only(manifests(), "Pod")["spec"]


def test_a_selector_of_the_user_in_a_spread_constraint_stays(manifests: Any) -> None:
    mine = EXTRAS["topologySpreadConstraints"][0] | {"labelSelector": {"matchLabels": {"a": "b"}}}
    template = pod(manifests(values={"api": {"topologySpreadConstraints": [mine]}}), "api")
    assert template["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]["a"] == "b"


@pytest.mark.parametrize("component", ["api", "worker", "operator"])
def test_pods_keep_apart_if_they_can_and_are_replaced_without_a_gap(manifests: Any, component: str) -> None:
    deployment = only(manifests(), "Deployment", component)["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    container = deployment["template"]["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_a_pod_has_time_to_finish_what_it_began(manifests: Any) -> None:
    """The API: until proxies forget it, then its own ten seconds; a worker: MAILBOAT_DRAIN_SECONDS."""
    api, worker = (pod(manifests(), part)["spec"] for part in ("api", "worker"))
    pause = api["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert api["terminationGracePeriodSeconds"] > pause + DRAIN_SECONDS
    assert worker["terminationGracePeriodSeconds"] > Settings().drain_seconds


def test_what_selects_pods_is_what_it_always_was(manifests: Any) -> None:
    """A selector cannot be changed: an upgrade from any release has to find the same."""
    for component in ("api", "worker", "operator", "data"):
        kind = "StatefulSet" if component == "data" else "Deployment"
        assert only(manifests(), kind, component)["spec"]["selector"]["matchLabels"] == {
            "app.kubernetes.io/name": "mailboat",
            "app.kubernetes.io/instance": "mailboat",
            "app.kubernetes.io/component": component,
        }


def test_databases_outside_come_from_secrets_with_the_authorities_that_sign_them(manifests: Any) -> None:
    found = manifests(PRODUCTION)
    assert of(found, "StatefulSet") == of(found, "Secret") == set()
    for component in ("api", "worker", "operator", "migrate"):
        template = pod(found, component)
        variables, spec = environment(template), template["spec"]
        assert variables["DATABASE_URL"] == {"secretKeyRef": {"name": "mailboat-database", "key": "url"}}
        assert variables["PGSSLMODE"] == "verify-full"
        mounted = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        volumes = {volume["name"]: volume.get("secret") for volume in spec["volumes"]}
        assert variables["PGSSLROOTCERT"] == f"{mounted['database-ca']}/ca.crt"
        assert volumes["database-ca"] == {
            "secretName": "mailboat-database-ca",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }
        assert mounted["valkey-ca"] == "/etc/mailboat/valkey"


def test_security_contexts_can_be_those_of_another_platform(manifests: Any) -> None:
    """OpenShift gives user ids itself."""
    values = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    assert pod(manifests(values=values), "api")["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


# --- ways in


def test_each_ingress_has_its_host_its_class_and_its_certificate(manifests: Any) -> None:
    found = manifests(PRODUCTION)
    for name, host, kind, paths in (
        ("api", "mail.example.com", "nginx-internal", ["/v1", "/unsubscribe"]),
        ("webhooks", "hooks.example.com", "nginx", ["/webhooks"]),
    ):
        ingress = only(found, "Ingress", name)
        (rule,) = ingress["spec"]["rules"]
        assert (rule["host"], ingress["spec"]["ingressClassName"]) == (host, kind)
        assert [path["path"] for path in rule["http"]["paths"]] == paths
        assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "mailboat-api", "port": {"name": "http"}}
        assert ingress["spec"]["tls"] == [{"secretName": host.replace(".", "-"), "hosts": [host]}]
        assert "cert-manager.io/cluster-issuer" in ingress["metadata"]["annotations"]
    assert only(found, "Service", "api")["spec"]["ports"][0]["name"] == "http"


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"ingress": {"api": {"enabled": True, "hosts": ["a.test", "b.test"]}}}, "http://a.test"),
        (
            {"ingress": {"api": {"enabled": True, "hosts": ["a.test"], "tls": [{"hosts": ["a.test"]}]}}},
            "https://a.test",
        ),
        ({"ingress": {"api": {"enabled": True}}}, None),
        ({"ingress": {"api": {"enabled": True, "hosts": ["a.test"]}}, "settings": {"MAILBOAT_PUBLIC_URL": "u"}}, "u"),
    ],
)
def test_callers_are_told_the_address_of_the_ingress(manifests: Any, values: Any, url: str | None) -> None:
    found = manifests(values=values)
    assert environment(pod(found, "api")).get("MAILBOAT_PUBLIC_URL") == url
    assert environment(pod(found, "operator"))["MAILBOAT_PUBLIC_URL"] == "http://mailboat-api.mail.svc"


# --- how many


def test_what_is_scaled_by_others_has_no_number_of_its_own(manifests: Any) -> None:
    fixed, found = manifests(), manifests(PRODUCTION)
    assert [only(fixed, "Deployment", part)["spec"]["replicas"] for part in ("api", "worker", "operator")] == [1, 1, 1]
    assert ["replicas" in only(found, "Deployment", part)["spec"] for part in ("api", "worker")] == [False, False]
    assert only(found, "Deployment", "operator")["spec"]["replicas"] == 2
    scaled = {only(found, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]}
    scaled |= {only(found, "ScaledObject")["spec"]["scaleTargetRef"]["name"]}
    assert scaled == {"mailboat-api", "mailboat-worker"}


def test_a_budget_protects_what_has_more_than_one_pod(manifests: Any) -> None:
    assert of(manifests(), "PodDisruptionBudget") == set()
    assert of(manifests(values={"worker": {"replicas": 2}}), "PodDisruptionBudget") == {"worker"}
    assert of(manifests(PRODUCTION), "PodDisruptionBudget") == {"api", "worker", "operator"}
    off = {"worker": {"replicas": 2, "podDisruptionBudget": {"enabled": False}}}
    assert of(manifests(values=off), "PodDisruptionBudget") == set()


QUEUE = """with queue (state, lane, run_at) as (values
    (1, 0::smallint, now() - interval '20 s'), (1, 1::smallint, now() - interval '90 s'),
    (1, 2::smallint, now() - interval '2 h'), (0, 1::smallint, now() - interval '3 h')) """


def test_keda_asks_postgres_how_much_waits_and_for_how_long_bulk_mail_aside(manifests: Any, query: Any) -> None:
    triggers = only(manifests(*KEDA), "ScaledObject")["spec"]["triggers"]
    asked = {trigger["name"]: trigger["metadata"]["query"] for trigger in triggers}
    assert {name: list(query(text)[0].values()) for name, text in asked.items()} == {"messages": [0], "age": [0.0]}
    assert {name: list(query(QUEUE + text)[0].values()) for name, text in asked.items()} == {
        "messages": [3],
        "age": [90.0],
    }
    assert (State.QUEUED, Lane.BULK, len(Lane)) == (1, 2, 3), "as the queries have them"


def test_keda_logs_in_as_the_pods_do_unless_it_has_a_secret_of_its_own(manifests: Any) -> None:
    (reference,) = only(manifests(*KEDA), "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert reference == {"parameter": "connection", "name": "mailboat-data", "key": "database-url"}
    values = {"worker": {"keda": {"enabled": True, "connection": {"existingSecret": "reader", "key": "dsn"}}}}
    (reference,) = only(manifests(values=values), "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert reference == {"parameter": "connection", "name": "reader", "key": "dsn"}


def test_what_keda_asks_prometheus_is_promql(manifests: Any) -> None:
    for trigger in only(manifests(PRODUCTION), "ScaledObject")["spec"]["triggers"]:
        promql_parser.parse(trigger["metadata"]["query"])
        assert 'namespace="mail"' in trigger["metadata"]["query"]


# --- networks


def flows(found: list[Manifest]) -> dict[str, tuple[set[Any], set[Any]]]:
    """Component to the ports on which it is reached, and those that it reaches."""
    policies = {m["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: m["spec"]
                for m in found if m["kind"] == "NetworkPolicy"}  # fmt: skip
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())

    def ports(rules: list[Manifest]) -> set[Any]:
        return {port["port"] for rule in rules for port in rule["ports"]}

    return {name: (ports(policy["ingress"]), ports(policy["egress"])) for name, policy in policies.items()}


PROVIDERS = {25, 443, 465, 587, 2525}


def test_each_component_reaches_what_it_needs_and_nothing_else(manifests: Any) -> None:
    assert flows(manifests("--set=networkPolicy.enabled=true")) == {
        "api": ({8080, 9090}, {53, 5432, 6379} | PROVIDERS),
        "worker": ({9090}, {53, 5432, 6379} | PROVIDERS),
        "operator": ({8080}, {53, 5432, 443, 6443}),
        "data": ({5432, 6379}, set()),
        "test": (set(), {53, 8080}),
    }
    assert flows(manifests(PRODUCTION)) == {
        "api": ({8080, 9090}, {53, 5432, 6379, 4318} | PROVIDERS),
        "worker": ({9090}, {53, 5432, 6379, 4318} | PROVIDERS),
        "operator": ({8080}, {53, 5432, 443, 6443}),
        "migrate": (set(), {53, 5432}),
        "test": (set(), {53, 8080}),
    }


def test_a_closed_api_lets_in_whom_it_is_told_and_helm_test(manifests: Any) -> None:
    spec = only(manifests(PRODUCTION), "NetworkPolicy", "api")["spec"]
    callers = next(rule["from"] for rule in spec["ingress"] if rule["ports"][0]["port"] == 8080)
    assert [list(peer) for peer in callers] == [["namespaceSelector"], ["namespaceSelector"], ["podSelector"]]
    anybody = only(manifests("--set=networkPolicy.enabled=true"), "NetworkPolicy", "api")["spec"]["ingress"][0]
    assert "from" not in anybody


# --- monitoring


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
def test_every_process_is_scraped_once(manifests: Any, kind: str) -> None:
    found = manifests(f"--set=monitoring.{kind}.enabled=true,monitoring.port=9191")
    if kind == "podMonitor":
        selected = only(found, "PodMonitor")["spec"]["selector"]["matchLabels"]
        assert of(found, "Service") == {"api", "data"}
    else:
        service = only(found, "Service", "metrics")
        labels = service["metadata"]["labels"]
        assert only(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= labels.items()
        selected = service["spec"]["selector"]
    for component in ("api", "worker", "operator"):
        template = pod(found, component)
        assert selected.items() <= template["metadata"]["labels"].items()
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        assert ports["metrics"] == (8080 if component == "operator" else 9191)
        if component != "operator":
            assert environment(template)["MAILBOAT_METRICS_PORT"] == "9191"
    assert not selected.items() <= pod(found, "data")["metadata"]["labels"].items()


def test_alerts_and_dashboard_come_as_they_are(manifests: Any) -> None:
    found = manifests(PRODUCTION)
    assert only(found, "PrometheusRule")["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    board = only(found, "ConfigMap", "dashboard")
    assert json.loads(board["data"]["mailboat.json"]) == json.loads((CHART / "files/dashboard.json").read_text())
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


# --- the rest


def test_further_objects_may_be_templates(manifests: Any) -> None:
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}
    made = of(manifests(values={"extraObjects": [extra]}), "ConfigMap")
    assert made - of(manifests(), "ConfigMap") == {"extra"}


def test_the_pods_that_render_mount_what_the_operator_writes_unless_that_is_turned_off(manifests: Any) -> None:
    def mounts(found: Any, component: str) -> bool:
        spec = pod(found, component)["spec"]
        sources = [v["projected"]["sources"] for v in spec["volumes"] if v["name"] == "mounted"]
        names = [one["configMap"]["name"] for each in sources for one in each]
        assert names in ([], [f"mailboat-templates-{number:02}" for number in range(32)])
        assert all(one["configMap"]["optional"] for each in sources for one in each)
        (container,) = spec["containers"]
        assert any(m["mountPath"] == "/mounted" for m in container["volumeMounts"]) == bool(names)
        assert {"name": "MAILBOAT_MOUNTED", "value": "/mounted"} in container["env"] or not names
        return bool(names)

    on = manifests()
    assert [mounts(on, one) for one in ("api", "worker", "operator")] == [True, True, False]
    assert len(of(on, "ConfigMap")) == 32
    for off in ({"templates": {"mounted": False}}, {"operator": {"enabled": False}}):
        without = manifests(values=off)
        assert [mounts(without, one) for one in ("api", "worker")] == [False, False]
        assert of(without, "ConfigMap") == set()


def test_accounts_carry_the_annotations_of_a_cloud(manifests: Any) -> None:
    note = {"annotations": {"iam.example.com/role": "mail"}}
    found = manifests(values={"serviceAccount": note, "operator": {"serviceAccount": note | {"name": "op"}}})
    accounts = {m["metadata"]["name"]: m["metadata"]["annotations"] for m in found if m["kind"] == "ServiceAccount"}
    assert accounts == {"mailboat": note["annotations"], "op": note["annotations"]}
    assert pod(found, "operator")["spec"]["serviceAccountName"] == "op"
    subjects = [m["subjects"][0]["name"] for m in found if m["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert set(subjects) == {"op"}


def test_the_notes_say_three_commands(helm: Helm) -> None:
    flags = ("--namespace=mail", "--dry-run=client", PRODUCTION)
    notes = helm("install", "mailboat", str(CHART), *flags).stdout.partition("\nNOTES:\n")[2]
    assert re.findall(r"^  (kubectl apply|kubectl -n mail port-forward|curl)", notes, re.MULTILINE) == [
        "kubectl apply", "kubectl -n mail port-forward", "curl"
    ]  # fmt: skip
    assert "https://mail.example.com" in notes
    assert "https://hooks.example.com/webhooks/" in notes


def test_the_migration_runs_before_pods_that_need_it_and_uses_nothing_of_the_release(manifests: Any) -> None:
    job = only(manifests(PRODUCTION), "Job", "migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert of(manifests(), "Job") == set(), "the bundled PostgreSQL migrates itself"


def test_definitions_and_resources_outlive_the_release_and_belong_to_the_next(
    own_cluster: ControlPlane, helm: Helm
) -> None:
    """With crds.keep; without it they go, and nothing holds them up."""
    definitions = ("crd", "-l", "app.kubernetes.io/part-of=mailboat", "-o", "name")
    place = (f"--kubeconfig={own_cluster.admin}", "--namespace=default")

    def release(*words: str) -> None:
        done = helm(*words, *place)
        assert done.returncode == 0, done.stderr

    own_cluster.kubectl("delete", "-f", ROOT / "crds")
    release("install", "mailboat", str(CHART))
    template = {"apiVersion": "mailboat.dev/v1alpha1", "kind": "EmailTemplate", "metadata": {"name": "receipt"}}
    own_cluster.apply(template | {"spec": {"subject": "Receipt", "source": "<p>Thanks</p>"}})
    release("uninstall", "mailboat")
    assert len(own_cluster.kubectl("get", *definitions).stdout.split()) == 3
    release("install", "mailboat", str(CHART))
    assert "emailtemplate" in own_cluster.kubectl("get", "mailboat", "-o", "name").stdout
    release("upgrade", "mailboat", str(CHART), "--set=crds.keep=false")
    release("uninstall", "mailboat")
    until(lambda: own_cluster.kubectl("get", *definitions).stdout == "", "the definitions to go")


def test_the_secrets_of_the_sign_in_come_from_where_the_values_say(manifests: Callable[..., list[Manifest]]) -> None:
    found = manifests("--set=admin.viewerKey=look,oidc.existingSecret=single-sign-on")
    named = environment(pod(found, "api"))
    assert named["MAILBOAT_VIEWER_TOKEN"] == {"secretKeyRef": {"name": "mailboat-admin", "key": "look"}}
    assert named["MAILBOAT_OIDC_CLIENT_SECRET"] == {"secretKeyRef": {"name": "single-sign-on", "key": "client-secret"}}
    tokens = only(found, "Secret", "admin")["data"]
    assert len({tokens["token"], tokens["look"]}) == 2
    for absent in ("MAILBOAT_VIEWER_TOKEN", "MAILBOAT_OIDC_CLIENT_SECRET"):
        assert absent not in environment(pod(manifests(), "api"))
