"""What the operator's ServiceAccount may do: all that it needs, which the other tests show, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operated import admit, rendered

OURS = ("emailclients", "emailtemplates", "emailproviders")
ALLOWED = {
    **{("mailboat.dev", kind): {"get", "list", "watch"} for kind in OURS},
    **{("mailboat.dev", f"{kind}/status"): {"patch"} for kind in OURS},
    ("", "secrets"): {"get", "create", "patch"},
    ("", "configmaps"): {"get", "list", "watch"},
    ("", "events"): {"create"},
}
LEASE = {("coordination.k8s.io", "leases"): {"get", "patch"}}
SHARDS = {("", "configmaps"): {"get", "patch"}}


def rights(cluster: ControlPlane, account: str, namespace: str) -> dict[tuple[str, str], set[str]]:
    """What `kubectl auth can-i --list` is made of, without what every user may."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    done = cluster.kubectl(
        "create",
        "--validate=false",
        "-f",
        "-",
        "-o",
        "json",
        f"--as=system:serviceaccount:{account}",
        input=json.dumps(review),
    )
    found: dict[tuple[str, str], set[str]] = {}
    for rule in json.loads(done.stdout)["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                if not resource.startswith("self"):
                    found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_for_all_namespaces(own_cluster: ControlPlane) -> None:
    own_cluster.kubectl("create", "namespace", "mail")
    admit(own_cluster, "mail")
    both = {("", "configmaps"): {"get", "list", "watch", "patch"}}
    assert rights(own_cluster, "mail:mailboat-operator", "mail") == ALLOWED | LEASE | both
    assert rights(own_cluster, "mail:mailboat-operator", "default") == ALLOWED


def test_for_some_namespaces_it_may_nothing_in_the_others(cluster: ControlPlane) -> None:
    home, served, other = (cluster.namespace() for _ in range(3))
    admit(cluster, home, f"operator.watchNamespaces={{{served}}}")
    account = f"{home}:mailboat-operator"
    assert rights(cluster, account, home) == LEASE | SHARDS
    assert rights(cluster, account, served) == ALLOWED
    assert rights(cluster, account, other) == {}


def test_leases_and_config_maps_of_somebody_else_are_out_of_reach(cluster: ControlPlane, namespace: str) -> None:
    admit(cluster, namespace, f"operator.watchNamespaces={{{namespace}}}")
    account = f"--as=system:serviceaccount:{namespace}:mailboat-operator"

    def may(verb: str, what: str) -> str:
        return cluster.kubectl("auth", "can-i", verb, what, "-n", namespace, account, check=False).stdout.strip()

    assert [may("get", "lease/another"), may("patch", "configmap/another")] == ["no", "no"]
    assert [may("get", "lease/mailboat-operator"), may("patch", "configmap/mailboat-templates-31")] == ["yes", "yes"]


@pytest.mark.parametrize("component", ["api", "worker", "data"])
def test_the_other_pods_have_no_token_at_all(cluster: ControlPlane, component: str) -> None:
    pods: list[dict[str, Any]] = [
        manifest["spec"]["template"]["spec"]
        for manifest in rendered(cluster, "mail")
        if manifest["kind"] in ("Deployment", "StatefulSet")
        and manifest["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    assert [pod["automountServiceAccountToken"] for pod in pods] == [False]
