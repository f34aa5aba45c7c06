"""What is written of a status: nothing that is there already."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat_crds import check
from mailboat_crds.conditions import READY, RECONCILING, STALLED
from mailboat_crds.models import Condition, EmailClientStatus, KeyStatus
from mailboat_operator import status

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
LEAVES = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
OBJECTS = st.dictionaries(
    st.sampled_from("abc"), LEAVES | st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=2), max_size=3
)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_patch_leads_from_one_status_to_the_other(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert merged(current, status.merge_patch(current, wanted)) == wanted


@given(OBJECTS)
def test_there_is_nothing_to_patch_in_what_is_equal(current: dict[str, Any]) -> None:
    assert status.merge_patch(current, current) == {}


def condition(name: str, state: Any = "True", reason: str = "Reconciled") -> Condition:
    return Condition(
        type=name, status=state, last_transition_time="2026-11-01T00:00:00Z", reason=reason, message="then"
    )


def test_waiting_keeps_what_was_found_last_and_says_that_it_is_tried_again() -> None:
    before = (condition(READY), condition("Published", reason="RevisionLive"))
    after = status.waiting("EmailTemplate", before, 3, "DatabaseAway", "PostgreSQL did not answer.")
    assert [(one.type, one.status, one.reason) for one in after] == [
        (READY, "Unknown", "DatabaseAway"),
        ("Published", "True", "RevisionLive"),
        (RECONCILING, "True", "DatabaseAway"),
    ]
    assert after[1] == before[1]


def test_what_only_a_person_can_mend_is_stalled() -> None:
    after = status.refused("EmailClient", (), 1, "SecretTaken", "choose another")
    assert [(one.type, one.status) for one in after] == [(READY, "False"), (STALLED, "True")]


def client(**rotation: str) -> Any:
    spec = {"senders": ["a@example.com"], "credentials": {"secretName": "s", "rotation": rotation}}
    manifest = {"apiVersion": "mailboat.dev/v1alpha1", "kind": "EmailClient", "metadata": {"name": "c"}, "spec": spec}
    return check.resource(manifest)


def key(created: str, expires: str | None = None) -> KeyStatus:
    return KeyStatus(id=created, state="overlap" if expires else "active", created_at=created, expires_at=expires)


@pytest.mark.parametrize(
    ("rotation", "keys", "seconds"),
    [
        ({}, (key("2026-12-01T08:00:00Z"),), None),
        ({}, (key("2026-12-01T08:00:00Z"), key("2026-11-01T00:00:00Z", "2026-12-01T09:00:30Z")), 31.0),
        ({"interval": "2h", "overlap": "1h"}, (key("2026-12-01T08:00:00Z"),), 3601.0),
        ({"interval": "2h", "overlap": "1h"}, (key("2026-11-01T08:00:00Z"),), 1.0),
    ],
)
def test_the_next_date_is_the_end_of_a_key_or_its_rotation(rotation: Any, keys: Any, seconds: float | None) -> None:
    assert status.due(client(**rotation), EmailClientStatus(keys=keys), NOW) == seconds
