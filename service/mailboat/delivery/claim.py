"""Claim: queued rows become this worker's, each with its attempt counted, and come back as messages."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from mailboat import metrics
from mailboat.db import engine, statements
from mailboat.delivery.batcher import Batcher
from mailboat.domain.message import Attachment, Claimed, Content, Envelope

_envelope = msgspec.json.Decoder(Envelope).decode
_content = msgspec.json.Decoder(Content).decode
_attachments = msgspec.json.Decoder(tuple[Attachment, ...]).decode
_headers = msgspec.json.Decoder(dict[str, str]).decode

MOST = 512  # ids per statement


class Claimer:
    """Claims batches of ids over one dedicated connection; batches that come together share a statement."""

    def __init__(self, dsn: str, owner: int) -> None:
        self._dsn, self._owner = dsn, owner
        self._connection: asyncpg.Connection | None = None
        self._batcher: Batcher[Sequence[UUID], list[Claimed]] = Batcher([self._flush], limit=8)

    async def claim(self, ids: Sequence[UUID]) -> list[Claimed]:
        """Those of the ids that were queued and are ours now. Raises what `engine.AWAY` names."""
        claimed = await self._batcher.submit(ids)
        if claimed:
            metrics.DELIVER_BATCH.observe(len(claimed))
        return claimed

    async def close(self) -> None:
        await self._batcher.close()
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            # Ids are few and rows are many: the planner must not read whole partitions on a bad guess. And a lost
            # claim is only claimed again, so it need not reach the disk first.
            self._connection = await engine.connect(
                self._dsn,
                name="mailboat-claim",
                synchronous_commit="off",
                enable_seqscan="off",
                enable_hashjoin="off",
                enable_mergejoin="off",
            )
        return self._connection

    async def _flush(self, batches: list[Sequence[UUID]]) -> list[list[Claimed]]:
        batch_of = {identifier: n for n, ids in enumerate(batches) for identifier in ids}
        try:
            connection = await self._connect()
            rows = await connection.fetch(statements.CLAIM, list(batch_of), self._owner, timeout=10)
        except engine.AWAY:
            if self._connection is not None:
                self._connection.terminate()
            raise
        claimed: list[list[Claimed]] = [[] for _ in batches]
        for row in rows:
            claimed[batch_of[row["id"]]].append(claimed_of(row))
        return claimed


def claimed_of(row: asyncpg.Record) -> Claimed:
    """The message in a row as CLAIM returns it."""
    return Claimed(
        id=row["id"],
        client_id=row["client_id"],
        lane=row["lane"],
        attempt=row["attempts"],
        forgiven=row["forgiven"],
        accepted_at=row["created_at"],
        template=row["template"],
        revision=row["revision"],
        locale=row["locale"],
        envelope=_envelope(row["envelope"]),
        data=row["data"].encode(),
        content=_content(row["content"]) if row["content"] else None,
        headers=_headers(row["headers"]) if row["headers"] else {},
        tags=_headers(row["tags"]) if row["tags"] else {},
        attachments=_attachments(row["attachments"]) if row["attachments"] else (),
        traceparent=row["traceparent"],
    )
