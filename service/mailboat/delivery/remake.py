"""Remake: a mail once more, from what is stored of its message, as its next attempt would make it."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from mailboat.delivery import attach
from mailboat.delivery.claim import claimed_of
from mailboat.delivery.deliver import mail_of
from mailboat.delivery.unsubscribe import Links
from mailboat.domain.message import Claimed, Rendered
from mailboat.providers import mime
from mailboat.registry.catalog import Catalog
from mailboat.render.base import Job, Renderer

_MESSAGE = """
select q.id, q.client_id, q.lane, q.attempts, q.forgiven, m.created_at, m.template, m.revision, m.locale, m.envelope,
       m.data, m.content, m.headers, m.tags, m.attachments, m.traceparent, coalesce(c.name, '') as client
from messages m join queue q on q.id = m.id left join clients c on c.id = m.client_id where m.id = $1
"""


async def find(pool: asyncpg.Pool, message_id: UUID) -> tuple[Claimed, str] | None:
    """A message as workers get it, and the name of its client; None when there is none."""
    row = await pool.fetchrow(_MESSAGE, message_id)
    return (claimed_of(row), row["client"]) if row is not None else None


async def rendered(catalog: Catalog, renderer: Renderer, message: Claimed) -> Rendered | str:
    """From the revision that it was accepted with, or why that does not work. Raises what `engine.AWAY` names."""
    if (raw := message.raw()) is not None:
        return raw
    revision = await catalog.load(message.revision or "")
    if revision is None:
        return f"The sources of revision {message.revision} are gone."
    (outcome,) = await renderer.render([Job(revision, message.data, message.locale)])
    return message.titled(outcome) if isinstance(outcome, Rendered) else str(outcome)


async def source(store: attach.Store, links: Links | None, message: Claimed, client: str, content: Rendered) -> bytes:
    """The RFC 5322 octets, as they go to an SMTP server, which may add to them. Raises Rejected where the mail cannot
    be said in them, and what `engine.AWAY` names."""
    files = await store.fetch(message.attachments)
    recipients = tuple({address.key: address for _, address in message.envelope.recipients}.values())
    url = links.url(message.id, recipients[0]) if links is not None and message.envelope.unsubscribe else ""
    mail = mail_of(message, content, recipients, client, message.traceparent, files, url)
    return mime.encode(mail, smtputf8=mime.needs_smtputf8(mail) is not None)
