"""Providers' side of webhooks: keys, and bodies signed with them."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
SNS = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = "/SimpleNotificationService-0123456789abcdef.pem"
SIGNING_KEY = "key-of-mailgun"
PASSWORD = "s3cret"


class Post(NamedTuple):
    """One delivery as it goes over the wire."""

    body: bytes
    headers: dict[str, str]


class Topic:
    """An SNS topic with a certificate of its own, which somebody has to serve at `CERTIFICATE`."""

    def __init__(self, days: int = 365) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        self.pem = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def post(self, message: Any, **changes: Any) -> Post:
        """A signed envelope; changes are made before it is signed, those named `after_…` once it is."""
        after = {name.removeprefix("after_"): changes.pop(name) for name in list(changes) if name.startswith("after_")}
        headers = after.pop("headers", {})
        envelope: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": message if isinstance(message, str) else msgspec.json.encode(message).decode(),
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "SigningCertURL": SNS + CERTIFICATE,
        } | changes
        names = sorted({"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"})
        signed = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope).encode()
        digest = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()  # noqa: S303
        envelope["Signature"] = b64encode(self._key.sign(signed, padding.PKCS1v15(), digest)).decode()
        envelope = {name: value for name, value in (envelope | after).items() if value is not None}
        kept = {
            "x-amz-sns-message-type": "Notification" if envelope.get("Type") is None else str(envelope["Type"]),
            "x-amz-sns-message-id": envelope["MessageId"],
            "x-amz-sns-topic-arn": envelope["TopicArn"],
        }
        return Post(msgspec.json.encode(envelope), kept | headers)

    def subscription(self, **changes: Any) -> Post:
        words = {
            "Type": "SubscriptionConfirmation",
            "Token": "t0ken",
            "SubscribeURL": f"{SNS}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0ken",
        }
        return self.post("You have chosen to subscribe", **(words | changes))


class SendGridSigner:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = b64encode(der).decode()

    def post(self, events: Any, *, at: datetime | None = None) -> Post:
        body = events if isinstance(events, bytes) else msgspec.json.encode(events) + b"\r\n"
        stamp = str(int((at or datetime.now(UTC)).timestamp()))
        signature = b64encode(self._key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        return Post(
            body,
            {
                "x-twilio-email-event-webhook-signature": signature,
                "x-twilio-email-event-webhook-timestamp": stamp,
            },
        )


def mailgun_post(event: Any, *, key: str = SIGNING_KEY, token: str = "t" * 50, at: datetime | None = None) -> Post:
    stamp = str(int((at or datetime.now(UTC)).timestamp()))
    signature = hmac.digest(key.encode(), (stamp + token).encode(), "sha256").hex()
    body = {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": event}
    return Post(msgspec.json.encode(body), {"content-type": "application/json"})


def postmark_post(event: Any, *, username: str = "postmark", password: str = PASSWORD) -> Post:
    given = b64encode(f"{username}:{password}".encode()).decode()
    return Post(msgspec.json.encode(event), {"authorization": f"Basic {given}"})


@pytest.fixture(scope="session")
def topic() -> Topic:
    return Topic()


@pytest.fixture(scope="session")
def topic_of() -> Callable[..., Topic]:
    return Topic


@pytest.fixture(scope="session")
def sendgrid() -> SendGridSigner:
    return SendGridSigner()


@pytest.fixture(scope="session")
def mailgun() -> Callable[..., Post]:
    """mailgun(event, key=…, token=…, at=…): a signed post."""
    return mailgun_post


@pytest.fixture(scope="session")
def postmark() -> Callable[..., Post]:
    """postmark(event, username=…, password=…): a post with basic auth."""
    return postmark_post


class Amazon:
    """An HTTP server on this machine that serves certificates, and remembers what it was asked for."""

    def __init__(self, loop: Any, pages: dict[str, bytes]) -> None:
        import asyncio

        self.pages, self.asked = pages, list[str]()
        self._loop = loop

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(path)
            found = self.pages.get(path.partition("?")[0])
            head = b"HTTP/1.1 200 OK" if found is not None else b"HTTP/1.1 404 Not Found"
            found = found or b""
            writer.write(head + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(found) + found)
            writer.close()

        self._server = loop.run(asyncio.start_server(answer, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._server.close()
        self._loop.run(self._server.wait_closed())


@pytest.fixture
def amazon(aside: Any, topic: Topic) -> Any:
    """What stands at `ses.snsOrigin`: the certificate of `topic`, and confirmations."""
    amazon = Amazon(aside, {CERTIFICATE: topic.pem, "/": b"<ConfirmSubscriptionResponse/>"})
    yield amazon
    amazon.close()
