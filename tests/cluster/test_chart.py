"""The chart on a node with running pods: from `helm install` to a mail in the inbox, and back to nothing."""

from __future__ import annotations

from tests.cluster.node import Node
from tests.cluster.release import CHART, TEMPLATE, Release
from tests.conftest import until


def test_a_mail_goes_from_three_resources_through_the_service_to_the_inbox(installed: Release) -> None:
    installed.declare()
    assert installed.secret("storefront-email")["url"] == f"http://mailboat-api.{installed.namespace}.svc"
    mail = installed.in_inbox(installed.send()["id"])
    assert (mail["subject"], "Order A-1042" in mail["html"]) == ("Receipt A-1042", True)
    installed.apply("EmailTemplate", "receipt", **TEMPLATE | {"source": "<p>Second edition {{ order }}</p>"})
    edited = installed.kubectl("get", "emt/receipt", "-o", "jsonpath={.metadata.generation}")
    installed.kubectl("wait", f"--for=jsonpath={{.status.observedGeneration}}={edited}", "emt/receipt", "--timeout=30s")
    assert "Second edition" in installed.in_inbox(installed.send()["id"])["html"]


def test_an_upgrade_and_the_way_back_lose_no_request_and_no_mail(installed: Release) -> None:
    installed.declare()
    roles = ("api", "worker")
    editions = [word for role in roles for word in ("--set", f"{role}.podAnnotations.edition=second")]
    waiting = ("--wait", "--timeout", "120s")
    with installed.under_load() as outcome:
        installed.helm("upgrade", "mailboat", str(CHART), "--reuse-values", *editions, *waiting)
        between = set().union(*(installed.pods(role) for role in roles))
        installed.helm("rollback", "mailboat", *waiting)
        installed.kubectl("wait", "--for=delete", *between, "--timeout=120s")
    assert (outcome["failed"], outcome["not sent"]) == ([], {})
    assert outcome["accepted"] > 50


def test_helm_test_passes(installed: Release) -> None:
    assert "Succeeded" in installed.helm("test", "mailboat", "--timeout", "120s")


def test_the_migration_of_a_release_with_a_database_of_its_own_ends_well(installed: Release) -> None:
    """As the hook runs it before an upgrade, on the database of this release."""
    secrets_of = ("database.existingSecret=mailboat-data", "database.key=database-url",
                  "valkey.existingSecret=mailboat-data", "valkey.key=valkey-url")  # fmt: skip
    sets = [word for value in (*installed.values, *secrets_of) for word in ("--set", value)]
    job = installed.helm("template", "mailboat", str(CHART), "--show-only", "templates/migration.yaml", *sets)
    installed.kubectl("apply", "-f", "-", input=job)
    installed.kubectl("wait", "--for=condition=Complete", "job/mailboat-migrate", "--timeout=120s")
    installed.kubectl("delete", "job", "mailboat-migrate")


def test_the_pods_carry_the_labels_that_scripts_rely_on(installed: Release) -> None:
    listed = installed.kubectl(
        "get", "pods", "-l", "app.kubernetes.io/name=mailboat", "-o", "jsonpath={.items[*].metadata.labels}"
    )
    for component in ("api", "worker", "operator", "data"):
        assert f'"app.kubernetes.io/component":"{component}"' in listed


def test_uninstalling_leaves_nothing_that_cannot_be_deleted(node: Node, installed: Release) -> None:
    """The definitions are those of the other release; the resources stay, and go without an operator."""
    release = Release(node, "crds.enabled=false", "rbac.aggregate=false")
    release.values.append(f"operator.watchNamespaces={{{release.namespace}}}")
    release.install()
    release.declare()
    release.helm("uninstall", "mailboat", "--wait", "--timeout", "120s")
    ours = ("all,lease,role,rolebinding,serviceaccount", "-l", "app.kubernetes.io/name=mailboat", "-o", "name")
    until(lambda: release.kubectl("get", *ours) == "", "the pods to end")
    assert "emailclient" in release.kubectl("get", "mailboat", "-o", "name")
    release.kubectl("delete", "emc,emt,emp", "--all", "--timeout=20s")
    node.run("kubectl", "delete", "namespace", release.namespace, "--timeout=90s")
