"""The provider `sendgrid`: Twilio SendGrid's v3 Mail Send API.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mailboat.domain.address import Address
from mailboat.domain.message import Mail, Receipt
from mailboat.errors import Misconfigured, ProviderError, Rejected
from mailboat.providers import fields, http, manifest
from mailboat.providers.http import Answer, Api, Request

REGIONS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
MOST_RECIPIENTS, MOST_CATEGORIES, LONGEST_CATEGORY = 1000, 10, 255
LARGEST = 30_000_000  # octets of a request
VERDICTS = http.STATUSES  # 401 with "Maximum credits exceeded" is a refusal of us too: the default says so

_RESERVED = ("x-sg-id", "x-sg-eid")


class Spec(manifest.Spec, frozen=True):
    """`sendgrid: {}` of a manifest. `endpoint` is for a simulator or a proxy."""

    region: Literal["global", "eu"] = "global"
    endpoint: manifest.Endpoint = ""


class Credentials(manifest.Credentials, frozen=True):
    api_key: str


class SendGrid:
    """Hands mail to SendGrid. The API has no idempotency: an answer that never came is uncertain."""

    kind = "sendgrid"

    def __init__(self, name: str, spec: Spec, credentials: Credentials, limits: manifest.Limits) -> None:
        self.name, self.concurrency = name, limits.max_concurrent
        key = credentials.api_key
        base = spec.endpoint or REGIONS[spec.region]
        self._api = Api(base, {"Authorization": f"Bearer {key}"}, limits, secrets=(key,))

    @classmethod
    def from_manifest(cls, given: manifest.Manifest) -> SendGrid:
        return cls(given.name, given.spec(Spec), given.credentials(Credentials), given.limits)

    def build(self, mail: Mail) -> Request:
        fields.check(mail)
        found = fields.recipients(mail)
        fields.at_most(found, MOST_RECIPIENTS, "SendGrid")
        body: dict[str, Any] = {
            "personalizations": _personalizations(found),
            "from": _mailbox(fields.wire(mail.envelope.sender)),
            "subject": mail.subject,
            "content": _content(mail),
            "headers": _headers(mail),
            "custom_args": {fields.MESSAGE_KEY: str(mail.id)},
        }
        if mail.envelope.reply_to:
            body["reply_to_list"] = [_mailbox(fields.wire(one)) for one in mail.envelope.reply_to]
        if mail.tags:
            body["categories"] = fields.labels(mail.tags, most=MOST_CATEGORIES, longest=LONGEST_CATEGORY)
        if mail.attachments:
            body["attachments"] = _attachments(mail)
        content = msgspec.json.encode(body)
        if len(content) >= LARGEST:
            raise Rejected(f"The message has {len(content)} octets as a request; SendGrid takes less than {LARGEST}.")
        return Request("/v3/mail/send", content)

    async def send(self, request: Request) -> Receipt:
        """202 and nothing else is a yes; X-Message-Id begins the `sg_message_id` of most events."""
        answer = await self._api.post(request)
        if answer.status != 202:
            raise self._fault(answer)
        identifier = fields.one_line(answer.headers.get("x-message-id", ""), longest=200)
        return Receipt("202 accepted by SendGrid", identifier)

    async def check(self) -> str:
        """The scopes of the key, which has to have `mail.send`."""
        answer = await self._api.get("/v3/scopes")
        scopes = answer.json().get("scopes")
        if answer.status != 200 or not isinstance(scopes, list):
            raise self._fault(answer)
        if "mail.send" not in scopes:
            raise Misconfigured("SendGrid knows the API key, which lacks the permission mail.send: give it Mail Send.")
        return f"{self._api.host} accepts the API key for mail.send"

    async def close(self) -> None:
        await self._api.close()

    def _fault(self, answer: Answer) -> ProviderError:
        return self._api.fault(answer, _words(answer), http.verdict(answer.status, VERDICTS))


def _personalizations(found: dict[str, list[Address]]) -> list[dict[str, Any]]:
    """One mail to everybody. Each needs a `to`: the first open kind stands in for it where that is settled already,
    and hidden recipients that are left alone get a mail each, so that they do not see one another."""
    if found["to"] or found["cc"]:
        to, cc = (found["to"], found["cc"]) if found["to"] else (found["cc"], [])
        named = {"to": to, "cc": cc, "bcc": found["bcc"]}
        return [{kind: [_mailbox(one, quoted=True) for one in some] for kind, some in named.items() if some}]
    return [{"to": [_mailbox(one, quoted=True)]} for one in found["bcc"]]


def _mailbox(one: Address, *, quoted: bool = False) -> dict[str, str]:
    """SendGrid puts the names of a personalization into headers as they are, so `Doe, Jane` would be two addresses
    unless it comes quoted (sendgrid-python#291); other names it quotes itself."""
    if not one.name:
        return {"email": one.email}
    if quoted and any(char in one.name for char in ',;"\\'):
        escaped = one.name.replace("\\", "\\\\").replace('"', '\\"')
        return {"email": one.email, "name": f'"{escaped}"'}
    return {"email": one.email, "name": one.name}


def _content(mail: Mail) -> list[dict[str, str]]:
    """Text before HTML, as the API demands; a mail without words still needs a character."""
    parts = [("text/plain", mail.text), ("text/html", mail.html)]
    return [{"type": kind, "value": text} for kind, text in parts if text] or [{"type": "text/plain", "value": " "}]


def _headers(mail: Mail) -> dict[str, str]:
    for name in mail.headers:
        if name.lower() in _RESERVED:
            raise Rejected(f"The header {name} is SendGrid's own and cannot be set.")
    return fields.headers(mail)


def _attachments(mail: Mail) -> list[dict[str, str]]:
    return [
        {
            "content": fields.base64(file),
            "type": file.content_type,
            "filename": file.filename,
            **({"disposition": "inline", "content_id": file.content_id} if file.content_id else {}),
        }
        for file in mail.attachments
    ]


def _words(answer: Answer) -> str:
    """`{"errors": [{"message", "field", "help"}]}` as a sentence."""
    errors = answer.json().get("errors")
    if not isinstance(errors, list):
        return ""
    known = [one for one in errors if isinstance(one, dict)]
    return "; ".join(
        f"{one.get('message', '')} ({one['field']})" if one.get("field") else str(one.get("message", ""))
        for one in known
    )
