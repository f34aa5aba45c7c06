"""Who may take the Lease, whatever the clocks of the others say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailboat_operator.reconcile import lease
from mailboat_operator.reconcile.lease import DEADLINE, DURATION, LOOK, RENEW, Seen

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
HELD = {"holderIdentity": "other", "renewTime": "1999-01-01T00:00:00.000000Z", "leaseTransitions": 3}


def test_nobody_holds_a_lease_that_is_new() -> None:
    known = lease.seen({}, None, 100.0)
    assert lease.is_free(known, "me", 100.0)
    assert lease.taken(known, "me", NOW)["leaseTransitions"] == 1


def test_a_lease_that_was_just_seen_is_held_however_old_it_says_it_is() -> None:
    known = lease.seen(HELD, None, 100.0)
    assert not lease.is_free(known, "me", 100.0)
    assert not lease.is_free(known, "me", 100.0 + DURATION - 0.1)


def test_a_lease_that_does_not_change_for_its_duration_is_free() -> None:
    known = lease.seen(HELD, lease.seen(HELD, None, 100.0), 105.0)
    assert known.at == 100.0
    assert lease.is_free(known, "me", 100.0 + DURATION)


@pytest.mark.parametrize("change", [{"renewTime": "1999-01-01T00:00:02.000000Z"}, {"holderIdentity": "third"}])
def test_a_lease_that_changes_is_held_again(change: dict[str, str]) -> None:
    known = lease.seen({**HELD, **change}, lease.seen(HELD, None, 100.0), 109.0)
    assert not lease.is_free(known, "me", 110.0)


def test_renewing_counts_no_transition() -> None:
    spec = lease.taken(Seen("me", "then", 4, 0.0), "me", NOW)
    assert spec == {
        "holderIdentity": "me",
        "leaseDurationSeconds": int(DURATION),
        "renewTime": "2026-12-01T09:00:00.000000Z",
    }


def test_a_leader_that_cannot_renew_is_through_before_another_may_begin() -> None:
    assert RENEW < DEADLINE < DURATION
    assert DURATION + LOOK < 20
