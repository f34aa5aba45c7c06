"""From POST to status, through a provider that sends back really signed webhooks."""

from __future__ import annotations

import pytest

KINDS = ("ses", "sendgrid", "mailgun", "postmark")


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_is_sent_delivered_bounced_or_complained_about_and_the_address_then_refused(kind, ship_of, until):
    ship = ship_of(kind)
    fates = {
        "ada@example.com": "delivered",
        "bounce@example.com": "bounced",
        "complaint@example.com": "complained",
        "deferred@example.com": "deferred" if kind == "none" else "delivered",
        "click@example.com": "delivered",
    }
    ids = {to: ship.send(to).json()["id"] for to in fates}
    for to, expected in fates.items():
        found = until(
            lambda to=to, expected=expected: (m := ship.message(ids[to]))["status"] == expected and m,
            f"{to} {expected}",
        )
        assert found["recipients"][0]["status"] == expected
        assert found["events"][-1]["provider"] == f"{kind}-eu"
    bounced = ship.message(ids["bounce@example.com"])
    assert bounced["recipients"][0]["diagnosis"].startswith("There is no such mailbox")
    assert bounced["events"][-1]["bounce"] == "hard"

    until(lambda: len(ship.call("GET", "/v1/suppressions").json()["items"]) == 2, "the suppressions")
    for to, reason in (("Bounce@Example.com", "bounce"), ("complaint@example.com", "complaint")):
        refused = ship.send(["ada@example.com", to])
        assert refused.status_code == 422
        assert refused.json()["code"] == "suppressed"
        assert refused.json()["field"] == "to[1]"
        assert refused.json()["reason"] == reason
    assert ship.send("ada@example.com").status_code == 202

    for status, expected in (("bounced", {"bounce@example.com"}), ("complained", {"complaint@example.com"})):
        items = ship.call("GET", "/v1/messages", params={"status": status}).json()["items"]
        assert {item["to"][0] for item in items} == expected
