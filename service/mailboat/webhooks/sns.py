"""Amazon SNS: the envelope in which SES sends its events, and the proof that it is Amazon's.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html

Anybody can make a topic, subscribe an endpoint of ours to it, and send validly signed messages. So nothing is fetched
and nothing believed before the topic is found in the list of those that are ours.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import msgspec

from mailboat.domain import events
from mailboat.webhooks import base
from mailboat.webhooks.base import Forged, Malformed

WINDOW = timedelta(hours=1, minutes=5)  # SNS gives up on an HTTP endpoint after an hour
VERSIONS = ("1", "2")

# The alphabetical order of the names is Amazon's.
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_OPTIONAL = {"Subject"}
HEADERS = {
    "x-amz-sns-message-type": "Type",
    "x-amz-sns-message-id": "MessageId",
    "x-amz-sns-topic-arn": "TopicArn",
}

_HOST = re.compile(r"sns\.([a-z0-9-]{3,})\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]+:[A-Za-z0-9_.-]+")


class Envelope(msgspec.Struct, frozen=True):
    """An SNS message whose topic is ours, and whose signature is still to be checked."""

    type: str
    message_id: str
    topic: str
    message: str
    signed: bytes
    signature: bytes
    version: str
    certificate_url: str
    subscribe_url: str


def envelope(body: Any, headers: Mapping[str, str], topics: list[str], now: datetime) -> Envelope:
    """All that can be told without a certificate. Raises Forged or Malformed."""
    if not isinstance(body, dict):
        raise Malformed("this is not an object")
    kind = body.get("Type")
    if not isinstance(kind, str) or kind not in SIGNED:
        raise Malformed("Type is not one of SNS")
    names = [name for name in SIGNED[kind] if name in body or name not in _OPTIONAL]
    if not all(isinstance(body.get(name), str) for name in (*names, "Signature", "SignatureVersion", "SigningCertURL")):
        raise Forged("a part of the signature is missing")
    for header, name in HEADERS.items():
        if headers.get(header, body[name]) != body[name]:
            raise Forged(f"{header} is not the body's {name}")
    if body["TopicArn"] not in topics:
        raise Forged(f"the topic {body['TopicArn'][:200]!r} is not in topic-arns")
    if body["SignatureVersion"] not in VERSIONS:
        raise Forged("the signature has a version that does not exist")
    base.fresh(events.moment(body["Timestamp"]), now, WINDOW)
    check_certificate_url(body["SigningCertURL"])
    if kind == "SubscriptionConfirmation":
        check_subscribe_url(body["SubscribeURL"], body["TopicArn"])
    return Envelope(
        type=kind,
        message_id=events.text(body["MessageId"], 200),
        topic=body["TopicArn"],
        message=body["Message"],
        signed="".join(f"{name}\n{body[name]}\n" for name in names).encode("utf-8", "surrogatepass"),
        signature=_base64(body["Signature"]),
        version=body["SignatureVersion"],
        certificate_url=body["SigningCertURL"],
        subscribe_url=body.get("SubscribeURL") or "",
    )


def check_certificate_url(url: str) -> None:
    """Amazon's host and the path of a certificate there, and nothing besides. Raises Forged."""
    parts = _pinned(url)
    if not _CERTIFICATE.fullmatch(parts.path) or parts.query or parts.fragment:
        raise Forged("SigningCertURL is not the address of an SNS certificate")


def check_subscribe_url(url: str, topic: str) -> None:
    """ConfirmSubscription for this topic, at SNS in the topic's own region. Raises Forged."""
    parts = _pinned(url)
    region = _TOPIC.fullmatch(topic)
    query = parse_qs(parts.query)
    if (
        region is None
        or _HOST.fullmatch(parts.netloc)[1] != region[1]  # type: ignore[index]
        or parts.path not in ("", "/")
        or parts.fragment
        or query.get("Action") != ["ConfirmSubscription"]
        or query.get("TopicArn") != [topic]
    ):
        raise Forged("SubscribeURL does not confirm a subscription of this topic")


def _pinned(url: str) -> SplitResult:
    """The parts of an https address at SNS: no port, no user, no other host. Raises Forged."""
    if not url.isascii() or not url.isprintable() or "\\" in url:
        raise Forged("an address has characters that addresses do not have")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Forged("an address cannot be read") from None
    if parts.scheme != "https" or not _HOST.fullmatch(parts.netloc):
        raise Forged("an address is not one of SNS")
    return parts


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Forged("the signature is not base64") from None
