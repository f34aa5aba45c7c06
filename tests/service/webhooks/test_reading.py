"""What bodies mean: the providers' own samples, each word of theirs, and anything at all."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboat.delivery import record
from mailboat.domain import events
from mailboat.webhooks import registry
from mailboat.webhooks.base import Malformed

OURS = "01a20b42-0000-7000-8000-000000000001"


def read(kind, body):
    return registry.of(kind).parse(body if isinstance(body, bytes) else msgspec.json.encode(body))


def one(kind, body):
    (event,) = read(kind, body)
    return event


# --- SES

MAIL = {
    "messageId": "EXAMPLE7c191be45",
    "timestamp": "2017-08-05T00:40:02.012Z",
    "destination": ["ada@example.com", "bob@example.com"],
    "tags": {"ses:from-domain": ["example.com"], "mailboat_id": [OURS], "flow": ["checkout"]},
}


def ses(kind, part=None, value=None, **mail):
    return {"eventType": kind, "mail": MAIL | mail, **({part: value} if part else {})}


def test_a_bounce_of_ses_names_each_recipient_with_its_servers_words():
    bounced = [
        {"emailAddress": "ada@example.com", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"},
        {"emailAddress": "bob@example.com", "status": "5.2.1"},
    ]
    part = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": bounced,
            "timestamp": "2017-08-05T00:41:02.669Z", "feedbackId": "0100"}  # fmt: skip
    first, second = read("ses", ses("Bounce", "bounce", part))
    assert (first.event, first.bounce, first.recipient) == ("bounced", "hard", "ada@example.com")
    assert first.reason == "smtp; 550 5.1.1 user unknown"
    assert second.reason == "5.2.1"
    assert first.event_id == second.event_id == "0100"
    assert first.at == datetime(2017, 8, 5, 0, 41, 2, 669000, UTC)
    assert first.provider_message_id == "EXAMPLE7c191be45"
    assert first.tags == {"mailboat_id": OURS, "flow": "checkout"}
    assert first.message_id == UUID(OURS)
    assert first.suppresses == "bounce"


@pytest.mark.parametrize(
    ("body", "event", "bounce"),
    [
        (ses("Send", "send", {}), "accepted", None),
        (ses("Delivery", "delivery", {"recipients": ["a@x.example"], "smtpResponse": "250 OK"}), "delivered", None),
        (
            ses("DeliveryDelay", "deliveryDelay", {"delayedRecipients": [{"emailAddress": "a@x.example"}]}),
            "deferred",
            None,
        ),
        (ses("Bounce", "bounce", {"bounceType": "Permanent"}), "bounced", "hard"),
        (ses("Bounce", "bounce", {"bounceType": "Transient"}), "bounced", "soft"),
        (ses("Bounce", "bounce", {"bounceType": "Undetermined"}), "bounced", "soft"),
        (ses("Bounce", "bounce", {"bounceType": "New"}), "bounced", "soft"),
        (ses("Complaint", "complaint", {"complaintFeedbackType": "abuse"}), "complained", None),
        (ses("Complaint", "complaint", {}), "complained", None),
        (ses("Complaint", "complaint", {"complaintFeedbackType": "not-spam"}), "unknown", None),
        (ses("Reject", "reject", {"reason": "Bad content"}), "rejected", None),
        (ses("Rendering Failure", "failure", {"errorMessage": "no x"}), "failed", None),
        (ses("Open", "open", {}), "opened", None),
        (ses("Click", "click", {"link": "https://x.example"}), "clicked", None),
        (ses("Subscription", "subscription", {}), "unknown", None),
        (ses("Teleported"), "unknown", None),
    ],
)
def test_each_word_of_ses(body, event, bounce):
    for found in read("ses", body):
        assert (found.event, found.bounce) == (event, bounce)
        assert (found.raw is not None) == (event == "unknown")


def test_an_event_in_an_sns_envelope_is_known_by_the_envelopes_id():
    inside = msgspec.json.encode(ses("Delivery", "delivery", {"recipients": ["ada@example.com"]})).decode() + "\n"
    found = one("ses", {"Type": "Notification", "MessageId": "19ba9823", "Message": inside, "TopicArn": "arn"})
    assert (found.event, found.event_id) == ("delivered", "19ba9823")


def test_confirmations_and_the_greeting_are_no_events():
    greeting = "Successfully validated SNS topic for Amazon SES event publishing."
    assert read("ses", {"Type": "Notification", "Message": greeting}) == []
    assert read("ses", {"Type": "SubscriptionConfirmation", "Message": "You have chosen"}) == []


def test_notifications_of_an_identity_are_read_as_events_are():
    body = {"notificationType": "Delivery", "delivery": {"recipients": ["ada@example.com"]}, "mail": MAIL}
    assert one("ses", body).event == "delivered"


# --- SendGrid


@pytest.mark.parametrize(
    ("fact", "event", "bounce"),
    [
        ({"event": "processed"}, "accepted", None),
        ({"event": "deferred", "response": "later"}, "deferred", None),
        ({"event": "delivered"}, "delivered", None),
        ({"event": "bounce", "type": "bounce"}, "bounced", "hard"),
        ({"event": "bounce", "type": "blocked"}, "bounced", "soft"),
        ({"event": "dropped", "reason": "Bounced Address"}, "rejected", None),
        ({"event": "spamreport"}, "complained", None),
        ({"event": "unsubscribe"}, "unsubscribed", None),
        ({"event": "group_unsubscribe"}, "unsubscribed", None),
        ({"event": "group_resubscribe"}, "unknown", None),
        ({"event": "open"}, "opened", None),
        ({"event": "click", "url": "https://x.example"}, "clicked", None),
        ({"event": 7}, "unknown", None),
        ({}, "unknown", None),
    ],
)
def test_each_word_of_sendgrid(fact, event, bounce):
    found = one("sendgrid", [fact])
    assert (found.event, found.bounce) == (event, bounce)


def test_sendgrids_own_samples_are_read():
    body = b"""[{"ip":"167.89.17.173","status":"5.1.1","sg_event_id":"lC0Rc-FuQmKbnxCWxX1jRQ",
        "reason":"550 5.1.1 The email account that you tried to reach does not exist.",
        "sg_message_id":"Lli-03HcQ5-JLybO9fXsJg.filter0077p1las1.21536.5717FC482.0","tls":1,"event":"bounce",
        "email":"noreply@example.com","timestamp":1461095250,"type":"bounce","category":["flow:checkout","cats"],
        "mailboat_id":"01a20b42-0000-7000-8000-000000000001"},
        {"email":"example@test.com","timestamp":1513299569,"event":"spamreport","category":"cat facts",
        "sg_event_id":"37nvH5QBz858KGVYCM4uOA==","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0"},
        {"email":"a@example.com","event":"open","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.recvd-5f54b5d587-zt2jv-1"}]"""
    bounce, spam, opened = read("sendgrid", body)
    assert bounce.reason == "550 5.1.1 The email account that you tried to reach does not exist."
    assert (bounce.provider_message_id, bounce.event_id) == ("Lli-03HcQ5-JLybO9fXsJg", "lC0Rc-FuQmKbnxCWxX1jRQ")
    assert bounce.tags == {"flow": "checkout", "cats": ""}
    assert bounce.metadata == {"mailboat_id": OURS}
    assert bounce.message_id == UUID(OURS)
    assert bounce.at == datetime(2016, 4, 19, 19, 47, 30, tzinfo=UTC)
    assert (spam.provider_message_id, spam.tags) == ("14c5d75ce93.dfd.64b469", {"cat facts": ""})
    assert spam.suppresses == "complaint"
    assert opened.provider_message_id == "LRzXl_NHStOGhQ4kofSm_A"


def test_one_bad_item_of_a_batch_leaves_the_others_alone():
    found = read("sendgrid", [{"event": "delivered", "email": "a@x.example"}, None, 7, [], {"event": "open"}])
    assert [event.event for event in found] == ["delivered", "unknown", "unknown", "unknown", "opened"]


# --- Mailgun


def mailgun(**fact):
    message = {"headers": {"to": "Ada <ada@example.com>, bob@example.com", "message-id": "2018@example.org"}}
    return {"signature": {"token": "t0ken"}, "event-data": {"message": message} | fact}


@pytest.mark.parametrize(
    ("fact", "event", "bounce"),
    [
        ({"event": "accepted"}, "accepted", None),
        ({"event": "delivered"}, "delivered", None),
        ({"event": "failed", "severity": "permanent", "reason": "bounce"}, "bounced", "hard"),
        ({"event": "failed", "severity": "permanent", "reason": "generic"}, "bounced", "hard"),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "delivery-status": {"code": 550, "message": "5.1.1 no such user"},
            },
            "bounced",
            "hard",
        ),
        (
            {"event": "failed", "severity": "permanent", "delivery-status": {"code": "550", "message": 4.2}},
            "bounced",
            "hard",
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "delivery-status": {"code": 550, "message": "14.2.2.1 is listed"},
            },
            "bounced",
            "hard",
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "delivery-status": {"code": 452, "message": "4.2.2 over quota"},
            },
            "bounced",
            "soft",
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "delivery-status": {"code": 552, "message": "5.2.2 over quota"},
            },
            "bounced",
            "soft",
        ),
        (
            {"event": "failed", "severity": "permanent", "delivery-status": {"code": 602, "message": "Too old"}},
            "bounced",
            "soft",
        ),
        ({"event": "failed", "severity": "permanent", "reason": "old"}, "bounced", "soft"),
        ({"event": "failed", "severity": "temporary", "reason": "old"}, "bounced", "soft"),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-bounce"}, "rejected", None),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-unsubscribe"}, "rejected", None),
        ({"event": "failed", "severity": "temporary", "reason": "greylisted"}, "deferred", None),
        ({"event": "failed"}, "failed", None),
        ({"event": "rejected", "reject": {"reason": "Sandbox"}}, "rejected", None),
        ({"event": "complained"}, "complained", None),
        ({"event": "unsubscribed"}, "unsubscribed", None),
        ({"event": "opened"}, "opened", None),
        ({"event": "clicked", "url": "https://x.example"}, "clicked", None),
        ({"event": "list_member_uploaded"}, "unknown", None),
    ],
)
def test_each_word_of_mailgun(fact, event, bounce):
    found = one("mailgun", mailgun(recipient="ada@example.com", **fact))
    assert (found.event, found.bounce, found.recipient) == (event, bounce, "ada@example.com")
    assert (found.event_id, found.provider_message_id) == ("t0ken", "2018@example.org")


def test_a_mail_that_mailgun_rejects_is_about_everybody_in_its_to():
    found = read("mailgun", mailgun(event="rejected", reject={"reason": "Sandbox", "description": ""}))
    assert [event.recipient for event in found] == ["ada@example.com", "bob@example.com"]
    assert found[0].reason == "Sandbox"


def test_the_words_of_a_server_come_with_its_code():
    status = {"code": 550, "message": "5.1.1 No such user", "description": ""}
    found = one("mailgun", mailgun(recipient="a@x.example", event="failed", severity="permanent",
                                   **{"delivery-status": status, "user-variables": {"mailboat_id": OURS}}))  # fmt: skip
    assert found.reason == "550 5.1.1 No such user"
    assert found.message_id == UUID(OURS)


# --- Postmark


@pytest.mark.parametrize(
    ("fact", "event", "bounce"),
    [
        ({"RecordType": "Delivery"}, "delivered", None),
        ({"RecordType": "Bounce", "Type": "HardBounce"}, "bounced", "hard"),
        ({"RecordType": "Bounce", "Type": "VirusNotification"}, "bounced", "hard"),
        ({"RecordType": "Bounce", "Type": "SoftBounce"}, "bounced", "soft"),
        ({"RecordType": "Bounce", "Type": "Transient"}, "deferred", None),
        ({"RecordType": "Bounce", "Type": "SpamNotification"}, "complained", None),
        ({"RecordType": "Bounce", "Type": "Blocked"}, "rejected", None),
        ({"RecordType": "Bounce", "Type": "SMTPApiError"}, "failed", None),
        ({"RecordType": "Bounce", "Type": "AutoResponder"}, "unknown", None),
        ({"RecordType": "Bounce", "Type": "New"}, "unknown", None),
        ({"RecordType": "Bounce"}, "unknown", None),
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint"}, "complained", None),
        ({"RecordType": "Open"}, "opened", None),
        ({"RecordType": "Click", "OriginalLink": "https://x.example"}, "clicked", None),
        ({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
         "unsubscribed", None),
        ({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "HardBounce"},
         "unknown", None),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False}, "unknown", None),
        ({"RecordType": "Inbound"}, "unknown", None),
    ],
)  # fmt: skip
def test_each_word_of_postmark(fact, event, bounce):
    found = one("postmark", fact)
    assert (found.event, found.bounce) == (event, bounce)


def test_postmarks_own_samples_are_read():
    bounce = one("postmark", b"""{"RecordType":"Bounce","ID":901542550,"Type":"HardBounce","TypeCode":1,
        "MessageID":"2706ee8a-737c-4285-b032-ccd317af53ed","Email":"bounce@example.com","Details":"smtp;550 5.1.1 no",
        "BouncedAt":"2016-04-27T16:28:50.3963933-04:00","Metadata":{"mailboat_id":"%s"},"Tag":"flow:checkout"}"""
        % OURS.encode())  # fmt: skip
    assert (bounce.event_id, bounce.recipient, bounce.reason) == (
        "901542550",
        "bounce@example.com",
        "smtp;550 5.1.1 no",
    )
    assert bounce.at == datetime(2016, 4, 27, 20, 28, 50, 396393, UTC)
    assert (bounce.tags, bounce.message_id) == ({"flow": "checkout"}, UUID(OURS))
    delivery = {"RecordType": "Delivery", "MessageID": "883953f4", "DeliveredAt": "2014-08-01T13:28:10.2735393-04:00"}
    first, again = one("postmark", delivery), one("postmark", delivery)
    other = one("postmark", delivery | {"DeliveredAt": "2014-08-01T13:28:11-04:00"})
    assert first.event_id == again.event_id != other.event_id


# --- anything

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["Bounce", "Complaint", "Delivery", "bounce", "failed", "opened", "permanent", "Permanent", "SubscriptionChange"]
)
NAMES = st.sampled_from(
    """
    eventType notificationType mail bounce bouncedRecipients destination tags timestamp feedbackId messageId event
    email sg_message_id sg_event_id category reason type status event-data signature token severity recipient
    headers to message-id user-variables delivery-status reject RecordType Type ID Email Details BouncedAt Tag message
    Metadata MessageID Message MessageId SuppressSending SuppressionReason delivery recipients mailboat_id
    """.split()  # noqa: SIM905 - a list of words
)
FACTS = st.recursive(
    JSON | WORDS | st.just(OURS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)


@given(FACTS)
@settings(max_examples=400, deadline=None)
def test_anything_is_read_as_events_that_can_be_stored_or_is_malformed(body):
    for kind in registry.KINDS:
        wrapped = {"ses": [body, {"Type": "Notification", "Message": msgspec.json.encode(body).decode()}],
                   "sendgrid": [[body]], "mailgun": [{"event-data": body}, mailgun(event=body)],
                   "postmark": [body, {"RecordType": "Bounce", "Type": body, "Email": body}]}[kind]  # fmt: skip
        for whole in wrapped:
            try:
                found = read(kind, whole)
            except Malformed:
                continue
            for row in record.rows_of("provider", "key", datetime.now(UTC), found):
                assert row.event_id
                assert not any("\0" in part for part in row if isinstance(part, str))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_webhook_are_malformed(raw):
    for kind in registry.KINDS:
        with contextlib.suppress(Malformed):
            read(kind, raw)


def test_nesting_without_end_is_malformed():
    for kind in registry.KINDS:
        for raw in (b"[" * 200_000, b'{"a":' * 200_000):
            with pytest.raises(Malformed):
                registry.of(kind).parse(raw if kind != "sendgrid" else b"{" + raw)


@pytest.mark.parametrize(
    "value", [None, True, [], {}, "", "never", "1e999", 10**30, -(10**30), float("1e300"), "0001-01-01T00:00:00+14:00"]
)
def test_a_moment_that_is_none_is_none(value):
    assert events.moment(value) is None
