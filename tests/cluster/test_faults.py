"""What networks and busy API servers do to an operator: it converges, and need not be started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.gate import Gate
from tests.cluster.operated import Operated, admit
from tests.conftest import Loop, Role

from mailboat.settings import Settings


@pytest.fixture
def gate(cluster: ControlPlane, aside: Loop) -> Iterator[Gate]:
    gate = Gate(cluster)
    aside.run(gate.__aenter__())
    yield gate
    aside.run(gate.__aexit__())


@pytest.fixture
def behind(
    gate: Gate,
    cluster: ControlPlane,
    namespace: str,
    settings_of: Callable[..., Settings],
    start_role: Callable[..., Role],
    free_port: Callable[[], int],
) -> Operated:
    """An operator behind the gate, with a template that is live."""
    kubeconfig = admit(cluster, namespace, f"operator.watchNamespaces={{{namespace}}}", url=gate.url)
    here = Operated(cluster, namespace, kubeconfig, settings_of, start_role, free_port, sweep_seconds=3.0)
    here.template()
    here.until("emt", "receipt", "Reconciled")
    return here


def test_requests_that_are_turned_away_are_made_again(behind: Operated, gate: Gate, until: Any) -> None:
    gate.busy = 8
    behind.template("<p>While it is busy {{ order }}</p>")
    behind.client()
    behind.until("emt", "receipt", "Reconciled")
    behind.until("emc", "storefront", "Reconciled")
    until(lambda: gate.turned_away == 8, "all of them to be turned away")
    assert behind.leader.process.poll() is None


def test_watches_that_want_more_of_the_past_than_is_kept_begin_anew(
    behind: Operated, gate: Gate, query: Any, until: Any
) -> None:
    behind.template(name="other")
    behind.until("emt", "other", "Reconciled")
    gate.expire = True
    until(lambda: gate.expired >= 4, "every watch to be ended")
    behind.delete("emt", "other")
    behind.template("<p>Meanwhile {{ order }}</p>")
    gate.expire = False
    behind.until("emt", "receipt", "Reconciled")
    until(lambda: len(query("select * from template_heads")) == 1, "the deletion to be noticed")
    assert behind.leader.process.poll() is None


def test_connections_that_were_cut_without_a_word_are_replaced(
    behind: Operated, gate: Gate, query: Any, until: Any
) -> None:
    """What the watches would have said is found by the sweep, long before their silence is noticed."""
    behind.template(name="other")
    behind.until("emt", "other", "Reconciled")
    gate.cut()
    behind.delete("emt", "other")
    behind.template("<p>After the cut {{ order }}</p>")
    behind.until("emt", "receipt", "Reconciled")
    until(lambda: len(query("select * from template_heads")) == 1, "the deletion to be noticed")
    assert behind.leader.process.poll() is None
