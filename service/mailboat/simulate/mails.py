"""The mail that a simulator took, for inspection."""

from __future__ import annotations

import email
import email.policy
from collections import deque
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import msgspec


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One mail. `identifier` is what the provider calls it (Mailgun's without brackets), `recipients` the envelope;
    `variables` come back in events."""

    identifier: str
    sender: str
    recipients: list[str]
    subject: str
    raw: bytes
    tags: list[str] = []
    variables: dict[str, str] = {}
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))

    def summary(self) -> dict[str, Any]:
        fields = ("sender", "recipients", "subject", "tags", "variables")
        return {"id": self.identifier, "at": self.at.isoformat(), **{name: getattr(self, name) for name in fields}}

    def parsed(self) -> dict[str, Any]:
        """The summary with headers, text, HTML and the names of the files."""
        message = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
        return {
            **self.summary(),
            "headers": [[name, str(value)] for name, value in message.items()],
            **{name: body.get_content() if (body := bodies[kind]) else None for name, kind in _BODIES.items()},
            "attachments": [part.get_filename() or "" for part in message.walk() if part.get_filename()],
        }


_BODIES = {"text": "plain", "html": "html"}


class Mails:
    """The newest `most` mails, oldest first, and how many there ever were."""

    def __init__(self, most: int) -> None:
        self._kept: deque[Kept] = deque(maxlen=most)
        self.total = 0

    def keep(self, mail: Kept) -> None:
        self._kept.append(mail)
        self.total += 1

    def find(self, identifier: str) -> Kept | None:
        return next((mail for mail in reversed(self._kept) if mail.identifier == identifier), None)

    def clear(self) -> None:
        self._kept.clear()
        self.total = 0

    def listing(self) -> dict[str, Any]:
        return {"total": self.total, "items": [mail.summary() for mail in self._kept]}
