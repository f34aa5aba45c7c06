"""Amazon SNS as far as SES needs it: signed envelopes, their certificate, and the confirmation of a subscription.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mailboat.simulate.courier import Post

Version = Literal["1", "2"]
_HASHES: dict[Version, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303 - as SNS does unless a topic asks for version 2
    "2": hashes.SHA256(),
}
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class Topic:
    """One topic with one subscriber. URLs name the real hosts; the certificate is served by the simulator itself, at
    the same path."""

    def __init__(self, region: str, account: str = "123456789012", name: str = "mailboat-events") -> None:
        self.arn = f"arn:aws:sns:{region}:{account}:{name}"
        self.origin = f"https://sns.{region}.amazonaws.com"
        self.token = secrets.token_hex(64)
        self.confirmed = False
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = self._certificate()
        self.certificate_path = f"/SimpleNotificationService-{uuid4().hex}.pem"

    def notification(self, message: dict[str, Any], version: Version) -> Post:
        text = msgspec.json.encode(message).decode() + "\n"
        words = {"Subject": "Amazon SES Email Event Notification", "Message": text}
        return self._post("Notification", words, version, {"UnsubscribeURL": self._url("Unsubscribe")})

    def subscription(self, version: Version) -> Post:
        words = {
            "Message": f"You have chosen to subscribe to the topic {self.arn}.\nTo confirm the subscription, visit the "
            "SubscribeURL included in this message.",
            "Token": self.token,
            "SubscribeURL": f"{self._url('ConfirmSubscription')}&Token={self.token}",
        }
        return self._post("SubscriptionConfirmation", words, version, {})

    def confirm(self, arn: str, token: str) -> bool:
        self.confirmed |= arn == self.arn and secrets.compare_digest(token.encode(), self.token.encode())
        return self.confirmed

    def _url(self, action: str) -> str:
        return f"{self.origin}/?Action={action}&TopicArn={self.arn}"

    def _post(self, kind: str, words: dict[str, str], version: Version, more: dict[str, str]) -> Post:
        envelope = {
            "Type": kind,
            "MessageId": str(uuid4()),
            "TopicArn": self.arn,
            **words,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": version,
            "SigningCertURL": f"{self.origin}{self.certificate_path}",
            **more,
        }
        text = "".join(f"{name}\n{envelope[name]}\n" for name in SIGNED[kind])
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), _HASHES[version])
        envelope["Signature"] = b64encode(signature).decode()
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": kind,
            "x-amz-sns-message-id": envelope["MessageId"],
            "x-amz-sns-topic-arn": self.arn,
        }
        return Post(headers, msgspec.json.encode(envelope))

    def _certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)
