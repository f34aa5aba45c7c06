"""What the events say, and that their signatures are what a careful receiver accepts."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

ADDRESSES = ["ada", "bounce", "softbounce", "deferred", "reject", "complaint", "unsubscribe", "open", "click+7"]


def by_recipient(pairs):
    """Recipient's word to what is said of it, sorted: calls overtake each other."""
    found = {}
    for email, word in pairs:
        found.setdefault(email.partition("@")[0], []).append(word)
    return {name: sorted(words) for name, words in found.items()}


# --- SES


def canonical(envelope):
    """The string to sign, as Amazon documents it for the kind of message."""
    kind = envelope["Type"]
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if kind != "Notification":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope).encode()


async def verified(call, it):
    """The envelope, its signature checked against the certificate that the simulator serves."""
    _, headers, body = call
    envelope = json.loads(body)
    assert headers["x-amz-sns-message-type"] == envelope["Type"]
    assert headers["x-amz-sns-message-id"] == envelope["MessageId"]
    url = urlsplit(envelope["SigningCertURL"])
    assert (url.scheme, url.hostname) == ("https", "sns.eu-west-1.amazonaws.com")
    certificate = x509.load_pem_x509_certificate((await it.client.get(url.path)).content)
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[envelope["SignatureVersion"]]  # noqa: S303
    key, signature = certificate.public_key(), b64decode(envelope["Signature"])
    key.verify(signature, canonical(envelope), padding.PKCS1v15(), algorithm)
    with pytest.raises(InvalidSignature):
        key.verify(signature, canonical({**envelope, "Message": "other"}), padding.PKCS1v15(), algorithm)
    return envelope


@pytest.mark.parametrize("version", ["1", "2"])
async def test_ses_signs_its_notifications_in_both_versions(version, simulated, webhook):
    it = await simulated("ses", switches={"webhookUrl": webhook.url, "signatureVersion": version})
    await webhook.until(1)
    answers = [await it.send(f"{name}@example.com") for name in ADDRESSES]
    calls = await webhook.until(1 + 23)
    envelopes = [await verified(call, it) for call in calls]
    assert {envelope["SignatureVersion"] for envelope in envelopes} == {version}
    assert envelopes[0]["Type"] == "SubscriptionConfirmation"
    events = [json.loads(envelope["Message"]) for envelope in envelopes if envelope["Type"] == "Notification"]
    assert {event["mail"]["messageId"] for event in events} == {answer.json()["MessageId"] for answer in answers}
    assert {tuple(event["mail"]["tags"]["mailboat_id"]) for event in events} == {("7",)}
    assert by_recipient((event["mail"]["destination"][0], event["eventType"]) for event in events) == {
        "ada": ["Delivery", "Send"],
        "bounce": ["Bounce", "Send"],
        "softbounce": ["Bounce", "Send"],
        "deferred": ["Delivery", "DeliveryDelay", "Send"],
        "reject": ["Reject", "Send"],
        "complaint": ["Complaint", "Delivery", "Send"],
        "unsubscribe": ["Delivery", "Send"],
        "open": ["Delivery", "Open", "Send"],
        "click+7": ["Click", "Delivery", "Open", "Send"],
    }
    kinds = {event["bounce"]["bounceType"] for event in events if event["eventType"] == "Bounce"}
    assert kinds == {"Permanent", "Transient"}


async def test_ses_tells_nothing_before_the_subscription_is_confirmed(simulated, webhook):
    it = await simulated("ses", switches={"webhookUrl": webhook.url, "confirmFirst": True})
    confirmation = await verified((await webhook.until(1))[0], it)
    await it.send("ada@example.com")
    url = urlsplit(confirmation["SubscribeURL"])
    assert url.hostname == "sns.eu-west-1.amazonaws.com"
    wrong = await it.client.get("/", params={"Action": "ConfirmSubscription", "TopicArn": "x", "Token": "y"})
    assert (wrong.status_code, (await it.client.get("/")).status_code) == (400, 400)
    assert (await it.client.get(f"/?{url.query}")).status_code == 200
    assert (await it.client.get("/_simulator")).json()["subscriptionConfirmed"] is True
    await it.send("b@example.com")
    calls = await webhook.until(3)
    assert all(b"b@example.com" in body for _, _, body in calls[1:])


# --- SendGrid


async def test_sendgrid_signs_time_and_body(simulated, webhook):
    it = await simulated("sendgrid", switches={"webhookUrl": webhook.url})
    answers = [await it.send(f"{name}@example.com") for name in ADDRESSES]
    calls = await webhook.until(len(ADDRESSES))
    about = (await it.client.get("/_simulator")).json()
    key = load_der_public_key(b64decode(about["webhookPublicKey"]))
    events = []
    for _, headers, body in calls:
        signature = b64decode(headers["x-twilio-email-event-webhook-signature"])
        stamp = headers["x-twilio-email-event-webhook-timestamp"]
        key.verify(signature, stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InvalidSignature):
            key.verify(signature, stamp.encode() + body.rstrip(), ec.ECDSA(hashes.SHA256()))
        events += json.loads(body)
    assert by_recipient((event["email"], event["event"]) for event in events) == {
        "ada": ["delivered", "processed"],
        "bounce": ["bounce", "processed"],
        "softbounce": ["bounce", "processed"],
        "deferred": ["deferred", "delivered", "processed"],
        "reject": ["dropped", "processed"],
        "complaint": ["delivered", "processed", "spamreport"],
        "unsubscribe": ["delivered", "processed", "unsubscribe"],
        "open": ["delivered", "open", "processed"],
        "click+7": ["click", "delivered", "open", "processed"],
    }
    assert {event["mailboat_id"] for event in events} == {"7"}
    assert len({event["sg_event_id"] for event in events}) == len(events)
    sent = {answer.headers["x-message-id"] for answer in answers}
    assert {event["sg_message_id"].partition(".")[0] for event in events} == sent


# --- Mailgun


async def test_mailgun_signs_time_and_token(simulated, webhook):
    it = await simulated("mailgun", switches={"webhookUrl": webhook.url}, signing_key="of-ours")
    for name in ADDRESSES:
        await it.send(f"{name}@example.com")
    bodies = [json.loads(body) for _, _, body in await webhook.until(24)]
    for body in bodies:
        signed = body["signature"]
        text = f"{signed['timestamp']}{signed['token']}".encode()
        assert hmac.new(b"of-ours", text, hashlib.sha256).hexdigest() == signed["signature"]
    assert len({body["signature"]["token"] for body in bodies}) == 24
    events = [body["event-data"] for body in bodies]
    assert by_recipient((e["recipient"], f"{e['event']} {e.get('severity', '')}".strip()) for e in events) == {
        "ada": ["accepted", "delivered"],
        "bounce": ["accepted", "failed permanent"],
        "softbounce": ["accepted", "failed permanent"],
        "deferred": ["accepted", "delivered", "failed temporary"],
        "reject": ["accepted", "failed permanent"],
        "complaint": ["accepted", "complained", "delivered"],
        "unsubscribe": ["accepted", "delivered", "unsubscribed"],
        "open": ["accepted", "delivered", "opened"],
        "click+7": ["accepted", "clicked", "delivered", "opened"],
    }
    assert {event["user-variables"]["mailboat_id"] for event in events} == {"7"}


# --- Postmark


async def test_postmark_is_known_by_the_password_in_the_url(simulated, webhook):
    url = webhook.url.replace("http://", "http://user:pass@")
    it = await simulated("postmark", switches={"webhookUrl": url})
    for name in ADDRESSES:
        await it.send(f"{name}@example.com")
    calls = await webhook.until(15)
    assert {headers["authorization"] for _, headers, _ in calls} == {f"Basic {b64encode(b'user:pass').decode()}"}
    events = [json.loads(body) for _, _, body in calls]
    named = [(event.get("Email") or event["Recipient"], event.get("Type") or event["RecordType"]) for event in events]
    assert by_recipient(named) == {
        "ada": ["Delivery"],
        "bounce": ["HardBounce"],
        "softbounce": ["SoftBounce"],
        "deferred": ["Delivery", "Transient"],
        "reject": ["Blocked"],
        "complaint": ["Delivery", "SpamComplaint"],
        "unsubscribe": ["Delivery", "SubscriptionChange"],
        "open": ["Delivery", "Open"],
        "click+7": ["Click", "Delivery", "Open"],
    }
    assert {event["Metadata"]["mailboat_id"] for event in events} == {"7"}
    log = (await it.client.get("/_simulator/webhooks")).text
    assert "pass@" not in log


async def test_postmark_leaves_inactive_recipients_out_and_says_so(simulated, webhook):
    it = await simulated("postmark", switches={"webhookUrl": webhook.url})
    half = await it.send("ada@example.com", "inactive@example.com")
    assert half.json()["Message"].endswith("these inactive addresses: inactive@example.com.")
    none = await it.send("inactive@example.com")
    assert (none.status_code, none.json()["ErrorCode"]) == (422, 406)
    calls = await webhook.until(1)
    assert json.loads(calls[0][2])["Recipient"] == "ada@example.com"
