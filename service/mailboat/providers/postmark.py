"""The provider `postmark`: Postmark's Email API.

https://postmarkapp.com/developer/api/email-api
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from mailboat.domain.address import Address
from mailboat.domain.message import Mail, Receipt, Refusal
from mailboat.errors import Misconfigured, ProviderError, Rejected, Throttled, Unavailable
from mailboat.providers import fields, http, manifest, mime
from mailboat.providers.http import Answer, Api, Request

BASE = "https://api.postmarkapp.com"
MOST_RECIPIENTS, MOST_METADATA, LONGEST_NAME, LONGEST_VALUE, LONGEST_TAG = 50, 10, 20, 80, 1000
LARGEST = 10_000_000  # octets of a message with its attachments

CODES: dict[int, type[ProviderError]] = {
    100: Unavailable,  # maintenance
    300: Rejected,  # invalid email request
    402: Rejected,
    403: Rejected,
    406: Rejected,  # inactive recipient
    411: Rejected,  # forbidden attachment type
    429: Throttled,
}
"""`ErrorCode` of a 422. What is not here is about us: token, sender signature, credits, stream, a pending account."""

# "Message OK, but will not deliver to these inactive addresses: a@x, b@x."; postmark-gem reads the same words.
_INACTIVE = re.compile(r"these inactive addresses: ([^\r\n]+)")


class Spec(manifest.Spec, frozen=True):
    """`postmark: {}` of a manifest. `endpoint` is for a simulator or a proxy."""

    message_stream: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,30}$")] = "outbound"
    endpoint: manifest.Endpoint = ""


class Credentials(manifest.Credentials, frozen=True):
    server_token: str


class Parcel(NamedTuple):
    """The call, and what the client calls each recipient, by the address in it in lower case."""

    request: Request
    names: dict[str, str]


class Postmark:
    """Hands mail to Postmark. The API has no idempotency: an answer that never came is uncertain."""

    kind = "postmark"

    def __init__(self, name: str, spec: Spec, credentials: Credentials, limits: manifest.Limits) -> None:
        self.name, self.concurrency = name, limits.max_concurrent
        self._stream = spec.message_stream
        token = credentials.server_token
        self._api = Api(spec.endpoint or BASE, {"X-Postmark-Server-Token": token}, limits, secrets=(token,))

    @classmethod
    def from_manifest(cls, given: manifest.Manifest) -> Postmark:
        return cls(given.name, given.spec(Spec), given.credentials(Credentials), given.limits)

    def build(self, mail: Mail) -> Parcel:
        fields.check(mail)
        found = _addressed(fields.recipients(mail))
        fields.at_most(found, MOST_RECIPIENTS, "Postmark")
        body: dict[str, Any] = {
            "From": str(fields.wire(mail.envelope.sender)),
            **{kind.capitalize(): ", ".join(map(str, some)) for kind, some in found.items() if some},
            "Subject": mail.subject,
            # Without the first of these Postmark writes a Message-ID of its own.
            "Headers": [
                {"Name": name, "Value": value}
                for name, value in {"X-PM-KeepID": "true", **fields.headers(mail)}.items()
            ],
            "MessageStream": self._stream,
            "Metadata": _metadata(mail),
        }
        texts = {"TextBody": mail.text, "HtmlBody": mail.html}
        body |= {name: text for name, text in texts.items() if text} or {"TextBody": " "}
        if mail.envelope.reply_to:
            body["ReplyTo"] = ", ".join(str(fields.wire(one)) for one in mail.envelope.reply_to)
        if tag := fields.labels(mail.tags, most=1, longest=LONGEST_TAG):
            body["Tag"] = tag[0]
        if mail.attachments:
            body["Attachments"] = _attachments(mail)
        content = msgspec.json.encode(body)
        if len(content) > LARGEST:
            raise Rejected(f"The message has {len(content)} octets as a request; Postmark takes {LARGEST} at most.")
        names = {mime.addr_spec(one.email).lower(): one.email for one in mail.recipients}
        return Parcel(Request("/email", content), names)

    async def send(self, request: Parcel) -> Receipt:
        """Postmark takes a mail though some of its recipients are inactive: those are named as refused."""
        answer = await self._api.post(request.request)
        body = answer.json()
        identifier, words = body.get("MessageID"), str(body.get("Message", ""))
        if answer.status != 200 or body.get("ErrorCode") != 0 or not isinstance(identifier, str) or not identifier:
            raise self._fault(answer)
        return Receipt(
            fields.one_line(f"200 {words}"), fields.one_line(identifier, longest=200), _inactive(words, request.names)
        )

    async def check(self) -> str:
        answer = await self._api.get("/server")
        name = answer.json().get("Name")
        if answer.status != 200 or not isinstance(name, str):
            raise self._fault(answer)
        return f"{self._api.host} accepts the token of the server {fields.one_line(name, longest=100)!r}"

    async def close(self) -> None:
        await self._api.close()

    def _fault(self, answer: Answer) -> ProviderError:
        body = answer.json()
        code, words = body.get("ErrorCode"), body.get("Message")
        if answer.status in (200, 422):
            chosen = CODES.get(code, Misconfigured) if isinstance(code, int) else Misconfigured
        else:
            chosen = http.verdict(answer.status)
        return self._api.fault(answer, f"{words} (ErrorCode {code})" if isinstance(words, str) else "", chosen)


def _addressed(found: dict[str, list[Address]]) -> dict[str, list[Address]]:
    """With a `To`, which Postmark demands: the first open kind stands in for it where that is settled already."""
    if found["to"]:
        return found
    if found["cc"]:
        return {"to": found["cc"], "bcc": found["bcc"]}
    if len(found["bcc"]) > 1:
        raise Rejected("Only hidden recipients are left, and Postmark would show them to each other.")
    return {"to": found["bcc"]}


def _metadata(mail: Mail) -> dict[str, str]:
    """Our id, and the client's tags as far as they fit; all of them are with our message anyway."""
    fitting = {
        name: value
        for name, value in mail.tags.items()
        if len(name) <= LONGEST_NAME and 0 < len(value) <= LONGEST_VALUE and name != fields.MESSAGE_KEY
    }
    return dict([(fields.MESSAGE_KEY, str(mail.id)), *fitting.items()][:MOST_METADATA])


def _attachments(mail: Mail) -> list[dict[str, str]]:
    return [
        {
            "Name": file.filename,
            "Content": fields.base64(file),
            "ContentType": file.content_type,
            **({"ContentID": f"cid:{file.content_id}"} if file.content_id else {}),
        }
        for file in mail.attachments
    ]


def _inactive(words: str, names: dict[str, str]) -> dict[str, Refusal]:
    """Who of the recipients is named so."""
    if not (listed := _INACTIVE.search(words)):
        return {}
    emails = [one.strip(" .").lower() for one in listed[1].split(". Inactive")[0].split(",")]
    refusal = Refusal("Postmark holds the address for inactive", retryable=False)
    return {names[email]: refusal for email in emails if email in names}
