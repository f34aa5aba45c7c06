"""Verifying webhooks, with the example of the Standard Webhooks specification and against its forgeries."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from mailboat.client import WebhookRefused, verify_webhook

# The vector of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
AT = 1614265330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def test_the_vector_of_the_specification_is_verified() -> None:
    assert verify_webhook(BODY, HEADERS, SECRET, now=AT) == {"test": 2432232314}
    upper = {name.title(): value for name, value in HEADERS.items()}
    assert verify_webhook(BODY.decode(), upper, SECRET, now=AT + 299) == {"test": 2432232314}


def test_one_right_signature_or_secret_among_several_is_enough() -> None:
    several = {**HEADERS, "webhook-signature": f"v1a,abc v1,AAAA {SIGNATURE}"}
    assert verify_webhook(BODY, several, ["whsec_AAAA", SECRET], now=AT)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": "v1,é"},
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(WebhookRefused):
        verify_webhook(BODY, HEADERS | change, SECRET, now=AT)


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_missing_header_is_refused_by_name(name: str) -> None:
    with pytest.raises(WebhookRefused, match=name):
        verify_webhook(BODY, {key: value for key, value in HEADERS.items() if key != name}, SECRET, now=AT)


def test_another_body_another_secret_and_an_old_one_are_refused() -> None:
    for body, secret, now in (
        (BODY + b" ", SECRET, AT),
        (BODY, "whsec_AAAA", AT),
        (BODY, SECRET, AT + 301),
        (BODY, SECRET, AT - 301),
        (BODY, SECRET, None),
    ):
        with pytest.raises(WebhookRefused):
            verify_webhook(body, HEADERS, secret, now=now)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_not base64"])
def test_a_secret_that_is_none_is_the_callers_fault(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(BODY, HEADERS, secret, now=AT)


def test_signed_nonsense_is_refused() -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    mark = base64.b64encode(hmac.digest(key, f"m.{AT}.".encode() + b"[]", hashlib.sha256)).decode()
    headers = {"webhook-id": "m", "webhook-timestamp": str(AT), "webhook-signature": f"v1,{mark}"}
    with pytest.raises(WebhookRefused, match="JSON"):
        verify_webhook(b"[]", headers, SECRET, now=AT)
