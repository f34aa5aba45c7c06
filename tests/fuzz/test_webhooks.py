"""Webhooks: nothing that was not signed is believed, and whatever was signed is read as events or called malformed."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.budget import fuzzed

from mailboat.delivery import record
from mailboat.webhooks import endpoints, registry, sns
from mailboat.webhooks.base import Forged, Malformed, Unreachable

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
SIGNER = ec.derive_private_key(7, ec.SECP256R1())
PUBLIC_KEY = b64encode(SIGNER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
ENDPOINTS = {
    "ses": {"ses": {}, "webhook": {"topic-arns": TOPIC}},
    "sendgrid": {"sendgrid": {}, "webhook": {"public-key": PUBLIC_KEY}},
    "mailgun": {"mailgun": {}, "webhook": {"signing-key": "key-of-mailgun"}},
    "postmark": {"postmark": {}, "webhook": {"username": "u", "password": "p"}},
}

NAMES = st.sampled_from(
    """
    eventType notificationType mail bounce bouncedRecipients destination tags timestamp feedbackId messageId event
    email sg_message_id sg_event_id category reason type status event-data signature token severity recipient
    headers to message-id user-variables delivery-status reject RecordType Type ID Email Details BouncedAt Tag message
    Metadata MessageID Message MessageId SuppressSending SuppressionReason delivery recipients mailboat_id
    TopicArn Timestamp SignatureVersion Signature SigningCertURL SubscribeURL Token Subject
    """.split()  # noqa: SIM905 - a list of words
)
WORDS = st.sampled_from(["Bounce", "Notification", "SubscriptionConfirmation", "bounce", "failed", "permanent", TOPIC])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)
RAW = st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode())
KIND = st.sampled_from(registry.KINDS)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["authorization", "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp",
         *sns.HEADERS]
    ),
    st.text(max_size=30) | st.sampled_from([STAMP, "Basic dTpx", "Basic !", "Bearer x", "٣", "aGk="]),
    max_size=3,
)  # fmt: skip


@fuzzed(200)
@given(KIND, RAW)
@example("mailgun", b'{"event-data": {"message": {"headers": {"to": "' + b"<" * 500 + b'"}}}}')
def test_a_body_is_events_that_can_be_stored_or_malformed(kind, raw):
    try:
        found = registry.of(kind).parse(raw)
    except Malformed as error:
        assert len(str(error)) < 500
        return
    rows = list(record.rows_of("provider", "key", NOW, found))
    for row in rows:
        assert row.event_id
        assert not any("\0" in part for part in row if isinstance(part, str))
        msgspec.json.encode(row)
    assert len(rows) <= len(raw) + 1


@fuzzed(200)
@given(KIND, RAW, HEADERS)
@example("mailgun", b'{"signature": {"timestamp": "1", "token": "\\ud800", "signature": "\\ud800"}}', {})
@example("postmark", b"{}", {"authorization": "Basic " + "A" * 5})
@example("sendgrid", b"[]", {"x-twilio-email-event-webhook-timestamp": "9" * 400})
def test_what_is_not_signed_is_refused(run, kind, raw, headers):
    endpoint = endpoints.of_manifest({"name": "x"} | ENDPOINTS[kind], "here", simulators=False)
    try:
        verified = run(endpoint.verify(raw, headers, NOW))
    except (Forged, Malformed, Unreachable) as error:
        assert len(str(error)) < 500
        return
    raise AssertionError(f"believed: {verified}")


def signed(kind: str, fact: object) -> tuple[bytes, dict[str, str]]:
    """A genuine delivery of this fact."""
    if kind == "mailgun":
        digest = hmac.digest(b"key-of-mailgun", (STAMP + "t").encode(), "sha256").hex()
        return json.dumps(
            {"signature": {"timestamp": STAMP, "token": "t", "signature": digest}, "event-data": fact}
        ).encode(), {}
    body = json.dumps(fact).encode()
    if kind == "postmark":
        return body, {"authorization": "Basic " + b64encode(b"u:p").decode()}
    signature = SIGNER.sign(STAMP.encode() + body, ec.ECDSA(hashes.SHA256()))
    return body, {
        "x-twilio-email-event-webhook-timestamp": STAMP,
        "x-twilio-email-event-webhook-signature": b64encode(signature).decode(),
    }


@fuzzed(100)
@given(st.sampled_from(["mailgun", "postmark", "sendgrid"]), JSON, st.integers(0, 10_000), st.integers(1, 255))
def test_what_is_signed_is_believed_and_no_octet_of_it_can_be_changed(run, kind, fact, place, change):
    raw, headers = signed(kind, fact)
    endpoint = endpoints.of_manifest({"name": "x"} | ENDPOINTS[kind], "here", simulators=False)
    try:
        verified = run(endpoint.verify(raw, headers, NOW))
    except Malformed:  # genuine, but of a shape that this provider never sends
        return
    assert verified.key
    at = place % len(raw)
    forged = raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :]
    if kind == "sendgrid":
        try:
            run(endpoint.verify(forged, headers, NOW))
        except Forged:
            return
        raise AssertionError("a changed body was believed")
    try:  # its signature lies in it or beside it; what is believed all the same is known as another delivery
        again = run(endpoint.verify(forged, headers, NOW))
    except (Forged, Malformed):
        return
    assert (again.key, again.digest) != (verified.key, verified.digest)


HOSTS = ["sns.eu-west-1.amazonaws.com", "sns.x.amazonaws.com.evil.example", "127.0.0.1", "evil.example"]
URL = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "//", "https:\\\\", "HTTPS://"]),
    st.sampled_from(["", "a@", "a:b@", "evil.example\\@", "evil.example#@"]),
    st.sampled_from(HOSTS) | st.text(max_size=10),
    st.sampled_from(["", ":443", ":8443", ":", ":x"]),
    st.sampled_from(["/SimpleNotificationService-0.pem", "/x/../SimpleNotificationService-0.pem", "/"])
    | st.text(max_size=10),
)


@fuzzed(200)
@given(URL | st.text(max_size=50))
def test_a_certificate_is_fetched_from_amazon_alone(url):
    try:
        sns.check_certificate_url(url)
    except Forged:
        return
    assert url.lower() == url.lower().strip()
    beginning, _, name = url.partition("/SimpleNotificationService-")
    assert beginning.lower() in {f"https://{host}" for host in HOSTS[:1]}
    assert name.removesuffix(".pem").isalnum()


@fuzzed(150)
@given(st.dictionaries(NAMES, JSON, max_size=8), HEADERS, URL)
def test_an_envelope_is_of_our_topic_or_refused(changes, headers, url):
    body = {
        "Type": "SubscriptionConfirmation", "Message": "m", "MessageId": "i", "Token": "t", "TopicArn": TOPIC,
        "Timestamp": NOW.isoformat(), "SignatureVersion": "2", "Signature": "aGk=", "SubscribeURL": url,
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    } | changes  # fmt: skip
    try:
        found = sns.envelope(body, headers, [TOPIC], NOW)
    except (Forged, Malformed):
        return
    assert found.topic == TOPIC
    assert found.type == "Notification" or found.subscribe_url.startswith("https://sns.eu-west-1.amazonaws.com")
