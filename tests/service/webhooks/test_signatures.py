"""Who may speak: genuine deliveries pass, and every trick to pass without a key fails."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from mailboat.errors import ConfigurationError
from mailboat.webhooks import endpoints
from mailboat.webhooks import sendgrid as sendgrid_webhook
from mailboat.webhooks.base import Forged, Malformed, Unreachable

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
SNS = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{SNS}/SimpleNotificationService-0123456789abcdef.pem"
EVENT = {
    "eventType": "Delivery",
    "delivery": {"timestamp": "2026-10-19T23:21:04.133Z", "recipients": ["ada@example.com"]},
    "mail": {"messageId": "0102", "destination": ["ada@example.com"]},
}


def endpoint_of(kind, webhook, **spec):
    return endpoints.of_manifest({"name": kind, kind: spec, "webhook": webhook}, "providers.yaml", simulators=True)


@pytest.fixture
def ses(amazon):
    return endpoint_of("ses", {"topic-arns": TOPIC}, snsOrigin=amazon.url)


async def refused(endpoint, post, *, now=None, error=Forged):
    with pytest.raises(error) as caught:
        await endpoint.verify(post.body, post.headers, now)
    return str(caught.value)


# --- SES


@pytest.mark.parametrize("version", ["1", "2"])
async def test_sns_messages_of_both_signature_versions_pass(ses, topic, version):
    for post in (
        topic.post(EVENT, SignatureVersion=version),
        topic.post(EVENT, SignatureVersion=version, Subject="Hi"),
    ):
        verified = await ses.verify(post.body, post.headers)
        assert (verified.key, verified.facts) == ("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", True)


async def test_a_certificate_is_fetched_once(ses, topic, amazon):
    for _ in range(3):
        post = topic.post(EVENT)
        await ses.verify(post.body, post.headers)
    assert len(amazon.asked) == 1


async def test_a_certificate_that_is_not_there_is_not_asked_for_again(ses, topic, amazon):
    post = topic.post(EVENT, SigningCertURL=f"{SNS}/SimpleNotificationService-f00.pem")
    for _ in range(3):
        assert "no certificate" in await refused(ses, post)
    assert len(amazon.asked) == 1


SES_ATTACKS = {
    "changed message": {"after_Message": "{}"},
    "changed id": {"after_MessageId": "another", "after_headers": {"x-amz-sns-message-id": "another"}},
    "subject added": {"after_Subject": "Hi"},
    "no signature": {"after_Signature": None},
    "empty signature": {"after_Signature": ""},
    "signature that is no base64": {"after_Signature": "!!!!"},
    "no certificate": {"after_SigningCertURL": None},
    "no version": {"after_SignatureVersion": None},
    "unknown version": {"SignatureVersion": "3"},
    "version of another hash": {"SignatureVersion": "1", "after_SignatureVersion": "2"},
    "version as a number": {"after_SignatureVersion": 2},
    "foreign topic": {"TopicArn": "arn:aws:sns:eu-west-1:666666666666:ses-events"},
    "topic that begins like ours": {"TopicArn": f"{TOPIC}-more"},
    "stale": {"Timestamp": timedelta(hours=-2)},
    "ahead of time": {"Timestamp": timedelta(minutes=10)},
    "no time": {"Timestamp": "yesterday"},
    "header of another id": {"after_headers": {"x-amz-sns-message-id": "another"}},
    "header of another type": {"after_headers": {"x-amz-sns-message-type": "SubscriptionConfirmation"}},
    "header of another topic": {"after_headers": {"x-amz-sns-topic-arn": "arn:aws:sns:eu-west-1:1:x"}},
}
URLS = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://s3.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
    "https://evil.example/sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
    "https://evil.example#@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-0.pem",
    "https://user@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com\\@evil.example/SimpleNotificationService-0.pem",
    "https://evilsns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.org/SimpleNotificationService-0.pem",
    "https://sns.a.b.amazonaws.com/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com/?Action=GetObject&x=/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem?x=y",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem#x",
    "https://sns.eu-west-1.amazonaws.com/x/../SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com/%2e%2e/SimpleNotificationService-0.pem",
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem\n",
    "https://sns.eu-west-1.amazonaws.com/other.pem",
    "file:///SimpleNotificationService-0.pem",
    "//sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
    "https://[::1/SimpleNotificationService-0.pem",
    "https://127.0.0.1/SimpleNotificationService-0.pem",
    "",
]


@pytest.mark.parametrize("attack", SES_ATTACKS)
async def test_a_forged_sns_message_is_refused(ses, topic, attack):
    now = datetime.now(UTC)
    changes = {k: (now + v).isoformat() if isinstance(v, timedelta) else v for k, v in SES_ATTACKS[attack].items()}
    await refused(ses, topic.post(EVENT, **changes))


@pytest.mark.parametrize("url", URLS)
async def test_a_certificate_elsewhere_is_refused_and_nothing_is_fetched(ses, topic, amazon, url):
    await refused(ses, topic.post(EVENT, SigningCertURL=url))
    assert amazon.asked == []


async def test_nothing_is_fetched_for_a_foreign_topic(ses, topic, amazon):
    foreign = "arn:aws:sns:eu-west-1:666666666666:mine"
    url = f"{SNS}/?Action=ConfirmSubscription&TopicArn={foreign}&Token=t0ken"
    await refused(ses, topic.subscription(TopicArn=foreign, SubscribeURL=url))
    assert amazon.asked == []


async def test_a_message_signed_with_another_key_is_refused(ses, topic_of):
    assert await refused(ses, topic_of().post(EVENT)) == "the signature is wrong"


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_what_is_no_certificate_proves_nothing(ses, topic, amazon, pem):
    amazon.pages["/SimpleNotificationService-0123456789abcdef.pem"] = pem
    await refused(ses, topic.post(EVENT))


async def test_a_certificate_that_is_over_proves_nothing(ses, topic_of, amazon):
    old = topic_of(days=-1)
    amazon.pages["/SimpleNotificationService-0123456789abcdef.pem"] = old.pem
    await refused(ses, old.post(EVENT))


async def test_a_huge_certificate_is_not_read(ses, topic, amazon):
    amazon.pages["/SimpleNotificationService-0123456789abcdef.pem"] = b"x" * 1_000_000
    await refused(ses, topic.post(EVENT), error=Unreachable)


async def test_without_amazon_a_delivery_may_come_again(topic, free_port):
    endpoint = endpoint_of("ses", {"topic-arns": [TOPIC]}, snsOrigin=f"http://127.0.0.1:{free_port()}")
    await refused(endpoint, topic.post(EVENT), error=Unreachable)


async def test_a_subscription_of_ours_is_confirmed_where_sns_is(ses, topic, amazon):
    post = topic.subscription()
    verified = await ses.verify(post.body, post.headers)
    assert not verified.facts
    await ses.confirm(verified.confirm)
    assert amazon.asked[-1] == f"/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken"


SUBSCRIBE_URLS = [
    "http://169.254.169.254/latest/meta-data/",
    "https://evil.example/?Action=ConfirmSubscription&TopicArn=" + TOPIC,
    f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken",
    f"{SNS}/?Action=Publish&TopicArn={TOPIC}&Token=t0ken",
    f"{SNS}/?Action=ConfirmSubscription&Action=Publish&TopicArn={TOPIC}&Token=t0ken",
    f"{SNS}/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-west-1:6:other&Token=t0ken",
    f"{SNS}/x?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken",
    f"{SNS}:443/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken",
    f"https://sns.eu-west-1.amazonaws.com@127.0.0.1/?Action=ConfirmSubscription&TopicArn={TOPIC}",
    "",
]


@pytest.mark.parametrize("url", SUBSCRIBE_URLS)
async def test_a_subscription_is_confirmed_nowhere_else(ses, topic, amazon, url):
    await refused(ses, topic.subscription(SubscribeURL=url))
    assert amazon.asked == []


async def test_the_end_of_a_subscription_confirms_nothing(ses, topic):
    post = topic.subscription(Type="UnsubscribeConfirmation")
    verified = await ses.verify(post.body, post.headers)
    assert (verified.confirm, verified.facts) == ("", False)


async def test_the_greeting_of_ses_is_acknowledged_and_not_kept(ses, topic):
    post = topic.post("Successfully validated SNS topic for Amazon SES event publishing.")
    assert not (await ses.verify(post.body, post.headers)).facts


async def test_a_signed_message_that_is_no_event_is_malformed(ses, topic):
    for message in ("not JSON", "[]", "{}", {"eventType": 7}):
        await refused(ses, topic.post(message), error=Malformed)


@pytest.mark.parametrize("kind", [None, 7, [], {}, "", "Notification ", "notification"])
async def test_a_message_of_no_type_of_sns_is_malformed(ses, topic, kind):
    await refused(ses, topic.post(EVENT, after_Type=kind), error=Malformed)


async def test_raw_delivery_which_has_no_signature_is_refused(ses):
    with pytest.raises(Malformed):
        await ses.verify(msgspec.json.encode(EVENT), {})


def test_an_origin_in_place_of_amazon_has_to_be_this_machine():
    for origin in ("https://127.0.0.1:1", "http://10.0.0.1:80", "http://evil.example:80", "http://127.0.0.1:80/x",
                   "http://user@127.0.0.1:80", "http://127.0.0.1", "ftp://127.0.0.1:1"):  # fmt: skip
        with pytest.raises(ConfigurationError, match="snsOrigin"):
            endpoint_of("ses", {"topic-arns": TOPIC}, snsOrigin=origin)


async def test_without_the_setting_an_origin_in_place_of_amazon_verifies_nothing(topic, amazon):
    manifest = {"name": "ses", "ses": {"snsOrigin": amazon.url}, "webhook": {"topic-arns": TOPIC}}
    endpoint = endpoints.of_manifest(manifest, "providers.yaml", simulators=False)
    assert "MAILBOAT_SIMULATORS=1" in await refused(endpoint, topic.post(EVENT))
    assert amazon.asked == []


# --- SendGrid

DROPPED = [{"email": "a@example.com", "event": "dropped", "sg_event_id": "1", "timestamp": 1600112492}]


async def test_the_vector_of_sendgrids_own_library_passes():
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8"
        "eNEc6wEA3F+g=="
    )
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    headers = {
        sendgrid_webhook.SIGNATURE: "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh8"
        "9M15TluLtEZtM=",
        sendgrid_webhook.TIMESTAMP: "1600112502",
    }
    endpoint = endpoint_of("sendgrid", {"public-key": key})
    then = datetime.fromtimestamp(1600112502, UTC)
    assert (await endpoint.verify(body, headers, then)).facts
    with pytest.raises(Forged, match="wrong"):
        await endpoint.verify(body.rstrip(), headers, then)
    with pytest.raises(Forged, match="dated"):
        await endpoint.verify(body, headers)


async def test_sendgrid_is_refused_without_its_headers_and_with_wrong_ones(sendgrid):
    endpoint = endpoint_of("sendgrid", {"public-key": sendgrid.public_key})
    good = sendgrid.post(DROPPED)
    assert (await endpoint.verify(good.body, good.headers)).facts
    for name in good.headers:
        for value in ("", "AAAA", "1600112502", "١٢٣", "-1", b64encode(b"x" * 70).decode()):
            await refused(endpoint, good._replace(headers={**good.headers, name: value}))
        await refused(endpoint, good._replace(headers={k: v for k, v in good.headers.items() if k != name}))
    await refused(endpoint, good._replace(body=good.body + b" "))
    await refused(endpoint, good._replace(headers={}))
    await refused(endpoint, type(sendgrid)().post(DROPPED))
    await refused(endpoint, sendgrid.post(DROPPED, at=datetime.now(UTC) - timedelta(days=2)))
    await refused(endpoint, sendgrid.post(DROPPED, at=datetime.now(UTC) + timedelta(hours=1)))
    await refused(endpoint, sendgrid.post(b"not JSON"), error=Malformed)
    await refused(endpoint, sendgrid.post({}), error=Malformed)


def test_a_key_that_is_not_sendgrids_is_a_fault_of_the_settings():
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    longer = b64encode(other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    for key in ("", "SG.api-key", longer):
        with pytest.raises(ConfigurationError, match="webhook"):
            endpoint_of("sendgrid", {"public-key": key})


# --- Mailgun

OPENED = {"event": "opened", "recipient": "ada@example.com", "timestamp": 1534108637.15}


async def test_mailgun_is_refused_with_another_key_token_or_time(mailgun):
    endpoint = endpoint_of("mailgun", {"signing-key": "key-of-mailgun"})
    good = mailgun(OPENED)
    assert (await endpoint.verify(good.body, good.headers)).key == "t" * 50
    body = msgspec.json.decode(good.body)
    for name in body["signature"]:
        for value in ("", "0", None, 7, [], "ü" * 64):
            forged = {**body, "signature": {**body["signature"], name: value}}
            await refused(endpoint, good._replace(body=msgspec.json.encode(forged)))
    for signature in (None, [], "x", {}):
        await refused(endpoint, good._replace(body=msgspec.json.encode({**body, "signature": signature})))
    await refused(endpoint, mailgun(OPENED, key="another"))
    await refused(endpoint, mailgun(OPENED, key=""))
    await refused(endpoint, mailgun(OPENED, at=datetime.now(UTC) - timedelta(days=1)))
    await refused(endpoint, mailgun(OPENED, at=datetime.now(UTC) + timedelta(hours=1)))
    await refused(endpoint, mailgun(None), error=Malformed)
    for raw in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        await refused(endpoint, good._replace(body=raw), error=Malformed)


# --- Postmark

DELIVERED = {"RecordType": "Delivery", "MessageID": "883953f4", "Recipient": "ada@example.com"}


async def test_postmark_is_refused_without_the_name_and_password(postmark):
    endpoint = endpoint_of("postmark", {"username": "postmark", "password": "s3cret"})
    good = postmark(DELIVERED)
    assert (await endpoint.verify(good.body, good.headers)).facts
    for value in ("", "Basic", "Basic !!!", "Bearer s3cret", "Basic " + b64encode(b"postmark").decode(),
                  "Basic " + b64encode(b"postmark:").decode()):  # fmt: skip
        await refused(endpoint, good._replace(headers={"authorization": value}))
    await refused(endpoint, good._replace(headers={}))
    await refused(endpoint, postmark(DELIVERED, password="S3cret"))
    await refused(endpoint, postmark(DELIVERED, username="other"))
    await refused(endpoint, good._replace(body=b"[]"), error=Malformed)


# --- all


async def test_the_previous_secret_is_good_too_and_the_one_before_is_not(sendgrid, mailgun, postmark):
    newer = type(sendgrid)()
    rotated = endpoint_of("sendgrid", {"public-key": newer.public_key, "previous-public-key": sendgrid.public_key})
    for signer in (newer, sendgrid):
        post = signer.post(DROPPED)
        assert (await rotated.verify(post.body, post.headers)).facts
    await refused(rotated, type(sendgrid)().post(DROPPED))

    rotated = endpoint_of("mailgun", {"signing-key": "new", "previous-signing-key": "old"})
    for key in ("new", "old"):
        post = mailgun(OPENED, key=key)
        assert (await rotated.verify(post.body, post.headers)).facts
    await refused(rotated, mailgun(OPENED, key="older"))

    rotated = endpoint_of("postmark", {"username": "postmark", "password": "new", "previous-password": "old"})
    for password in ("new", "old"):
        post = postmark(DELIVERED, password=password)
        assert (await rotated.verify(post.body, post.headers)).facts
    await refused(rotated, postmark(DELIVERED, password="older"))


@pytest.mark.parametrize(
    ("kind", "webhook"),
    [
        ("ses", {}),
        ("ses", {"topic-arns": ""}),
        ("ses", {"topic-arns": []}),
        ("mailgun", {}),
        ("mailgun", {"signing-key": ""}),
        ("mailgun", {"signing-key": 7}),
        ("mailgun", {"signing-key": "x", "signingkey": "y"}),
        ("postmark", {"username": "x"}),
        ("postmark", {"username": "x", "password": ""}),
        ("sendgrid", {}),
    ],
)
def test_a_webhook_without_its_secret_is_a_fault_of_the_settings(kind, webhook):
    with pytest.raises(ConfigurationError, match="webhook"):
        endpoint_of(kind, webhook)


def test_no_secret_is_shown_when_secrets_are_printed(sendgrid):
    from mailboat.webhooks import mailgun, postmark

    for secrets in (mailgun.Secrets("s3cret", "0lder"), postmark.Secrets("name", "s3cret")):
        assert "s3cret" not in repr(secrets)
