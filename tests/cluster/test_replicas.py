"""Two operators, and a control plane that goes away: one works, and what is written stays right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operated import Operated, admit
from tests.conftest import Postgres, Role

from mailboat.settings import Settings

ETCD_AWAY_SECONDS = float(os.environ.get("ETCD_AWAY_SECONDS", "1"))  # after the leader has noticed; tried with 60


@pytest.fixture
def breakable(
    own_cluster: ControlPlane,
    settings_of: Callable[..., Settings],
    start_role: Callable[..., Role],
    free_port: Callable[[], int],
) -> Operated:
    """An operator for all namespaces on a cluster of the test's own."""
    kubeconfig = admit(own_cluster, "default")
    return Operated(
        own_cluster, "default", kubeconfig, settings_of, start_role, free_port, watch_namespaces="", sweep_seconds=5.0
    )


def test_the_second_operator_takes_over_when_the_first_is_killed(
    operated: Operated, until: Any, record_property: Any
) -> None:
    second = operated.operator()
    operated.template()
    operated.until("emt", "receipt", "Reconciled")
    assert second.lines("leading") == []
    operated.leader.tell(signal.SIGKILL)
    killed = time.monotonic()
    operated.template("<p>After the kill {{ order }}</p>")
    operated.until("emt", "receipt", "Reconciled")
    took = f"takeover, from the kill of the leader to its successor's first work: {time.monotonic() - killed:.1f} s"
    record_property("takeover", took)
    print(took)
    assert len(second.lines("leading")) == 1


def test_the_second_operator_takes_over_at_once_when_the_first_is_stopped(operated: Operated, until: Any) -> None:
    second = operated.operator()
    until(lambda: operated.leader.lines("leading"), "the first to lead")
    assert operated.leader.stop() == 0
    until(lambda: second.lines("leading"), "the second to lead")
    operated.template()
    operated.until("emt", "receipt", "Reconciled")


def test_a_leader_that_was_frozen_cannot_write_any_more(operated: Operated, query: Any, until: Any) -> None:
    operated.template()
    operated.until("emt", "receipt", "Reconciled")
    first, second = operated.leader, operated.operator()
    first.tell(signal.SIGSTOP)
    until(lambda: second.lines("leading"), "the second to lead")
    operated.template("<p>Second {{ order }}</p>")
    operated.until("emt", "receipt", "Reconciled")
    live = query("select digest from template_heads")
    first.tell(signal.SIGCONT)
    until(lambda: first.lines("not leading any more"), "the first to notice")
    operated.template("<p>Third {{ order }}</p>")
    operated.until("emt", "receipt", "Reconciled")
    assert query("select digest from template_heads") != live
    assert (query("select epoch from operator_fence")[0]["epoch"], len(second.lines("leading"))) == (2, 1)


def test_the_api_server_restarts(breakable: Operated, until: Any) -> None:
    breakable.template()
    breakable.until("emt", "receipt", "Reconciled")
    api = breakable.cluster.api
    api.stop(signal.SIGKILL)
    time.sleep(9)  # longer than the Lease can be held without it
    api.start()
    breakable.template("<p>After the restart {{ order }}</p>")
    breakable.until("emt", "receipt", "Reconciled")
    assert breakable.leader.process.poll() is None, "it must not have to be started again"


def test_etcd_is_away_for_longer_than_a_lease_lasts(breakable: Operated, until: Any) -> None:
    breakable.template()
    breakable.until("emt", "receipt", "Reconciled")
    etcd = breakable.cluster.etcd
    etcd.stop(signal.SIGKILL)
    until(lambda: breakable.leader.lines("not leading any more"), "the leader to step back")
    time.sleep(ETCD_AWAY_SECONDS)
    etcd.start()
    until(lambda: breakable.cluster.kubectl("get", "emt", check=False).returncode == 0, "the API server to answer")
    breakable.template("<p>After the outage {{ order }}</p>")
    breakable.until("emt", "receipt", "Reconciled")
    assert breakable.leader.process.poll() is None, "it must not have to be started again"


def test_what_happened_while_etcd_and_the_api_server_were_killed_is_noticed(
    breakable: Operated, query: Any, until: Any
) -> None:
    """And the operator did not see it."""
    breakable.template()
    breakable.template(name="other")
    breakable.until("emt", "other", "Reconciled")
    breakable.leader.tell(signal.SIGSTOP)
    breakable.delete("emt", "other")
    breakable.template("<p>Meanwhile {{ order }}</p>")
    breakable.cluster.api.stop(signal.SIGKILL)
    breakable.cluster.etcd.stop(signal.SIGKILL)
    breakable.cluster.etcd.start()
    breakable.cluster.api.start()
    breakable.leader.tell(signal.SIGCONT)
    breakable.until("emt", "receipt", "Reconciled")
    until(lambda: len(query("select * from template_heads")) == 1, "the deletion to be noticed")


def test_a_postgres_that_is_away_is_in_the_conditions_and_nothing_is_lost(
    cluster: ControlPlane,
    namespace: str,
    own_postgres: Postgres,
    settings_of: Callable[..., Settings],
    start_role: Callable[..., Role],
    free_port: Callable[[], int],
) -> None:
    kubeconfig = admit(cluster, namespace, f"operator.watchNamespaces={{{namespace}}}")
    here = Operated(cluster, namespace, kubeconfig, settings_of, start_role, free_port, database_url=own_postgres.dsn())
    here.template()
    here.until("emt", "receipt", "Reconciled")
    own_postgres.stop()
    here.template("<p>While it is away {{ order }}</p>")
    found = here.until("emt", "receipt", "DatabaseAway")
    assert (found["status"], "/" in found["message"]) == ("Unknown", False)
    assert here.condition("emt", "receipt", "Reconciling")["status"] == "True"
    own_postgres.start()
    here.until("emt", "receipt", "Reconciled")


def test_an_operator_without_the_definitions_waits_for_them(
    build: Any,
    tmp_path: Any,
    settings_of: Callable[..., Settings],
    start_role: Callable[..., Role],
    free_port: Callable[[], int],
    until: Any,
) -> None:
    from tests.cluster.binaries import CONTROL_PLANE, HELM
    from tests.cluster.conftest import ROOT

    folder = tmp_path / "cluster"
    folder.mkdir()
    plane = ControlPlane(build([*CONTROL_PLANE, *HELM]), folder)
    try:
        plane.start()
        here = Operated(
            plane, "default", admit(plane, "default"), settings_of, start_role, free_port, watch_namespaces=""
        )
        waiting = "waiting for the custom resource definitions: apply crds/, or set crds.enabled in the chart"
        until(lambda: here.leader.lines(waiting), "the operator to say what it waits for")
        plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        plane.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=mailboat")
        here.template()
        here.until("emt", "receipt", "Reconciled")
    finally:
        plane.stop()
