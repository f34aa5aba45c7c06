"""A message: what a client handed in, what a template made of it, and what goes to a provider."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from mailboat.domain.address import Address


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who a message is from and for. Kept with the message as JSON.

    `unsubscribe`: the one recipient gets a one-click way out (RFC 8058).
    """

    sender: Address
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    unsubscribe: bool = False

    @property
    def recipients(self) -> tuple[tuple[str, Address], ...]:
        """Every recipient with its kind (`to`, `cc`, `bcc`), in that order."""
        return tuple((kind, address) for kind in ("to", "cc", "bcc") for address in getattr(self, kind))


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """Raw content that a client sends in place of a template; beside one, only the subject that this mail has."""

    subject: str
    html: str | None = None
    text: str | None = None


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that goes with a message; its content lies apart, by `digest` (sha256, hexadecimal).

    With a `content_id` (without angle brackets) it belongs inside the HTML, which shows it as `cid:…`.
    """

    filename: str
    content_type: str
    digest: str
    size: int
    content_id: str = ""


class AttachedFile(msgspec.Struct, frozen=True):
    """An attachment with its content, as a provider gets it."""

    filename: str
    content_type: str
    body: bytes
    content_id: str = ""


class Rendered(msgspec.Struct, frozen=True):
    """What a template made of its data. `text` is never empty when `html` has any words."""

    subject: str
    html: str | None
    text: str | None
    warnings: tuple[str, ...] = ()


class Mail(msgspec.Struct, frozen=True):
    """One mail, ready for a provider: all that `Provider.build` needs.

    `message_id` (with angle brackets) and `date` are the same in every attempt. `recipients` are the envelope
    recipients still open, each once; `envelope` is what the headers say, and its `bcc` never becomes a header.
    `unsubscribe_url` is where one POST takes the recipient off (RFC 8058).
    """

    id: UUID
    message_id: str
    date: datetime
    envelope: Envelope
    recipients: tuple[Address, ...]
    subject: str
    html: str | None
    text: str | None
    headers: dict[str, str] = {}
    tags: dict[str, str] = {}
    attachments: tuple[AttachedFile, ...] = ()
    client: str = ""
    traceparent: str = ""
    template: str = ""
    unsubscribe_url: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """A provider's answer about one recipient that it did not take. `dead`: it says of the address itself that no mail
    will ever arrive there."""

    detail: str
    retryable: bool
    dead: bool = False


class Receipt(msgspec.Struct, frozen=True):
    """A provider took the message. `refused` names the recipients (addr-spec) that it did not take."""

    detail: str
    provider_message_id: str = ""
    refused: dict[str, Refusal] = {}


class Claimed(msgspec.Struct, frozen=True):
    """A message that this worker owns now: its queue row and the message itself, as JSON where it was JSON.

    `attempt` counts from 1 and includes this one; those before a replay are `forgiven`.
    """

    id: UUID
    client_id: int
    lane: int
    attempt: int
    forgiven: int
    accepted_at: datetime
    template: str | None
    revision: str | None
    locale: str | None
    envelope: Envelope
    data: bytes
    content: Content | None
    headers: dict[str, str]
    tags: dict[str, str]
    attachments: tuple[Attachment, ...]
    traceparent: str

    def raw(self) -> Rendered | None:
        """The mail as its client wrote it; None when a template makes it."""
        content = self.content
        if content is None or self.template is not None:
            return None
        return Rendered(content.subject, content.html, content.text)

    def titled(self, rendered: Rendered) -> Rendered:
        """What the template made, with the subject that its client gave, if any."""
        return msgspec.structs.replace(rendered, subject=self.content.subject) if self.content else rendered
