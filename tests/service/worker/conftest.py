"""Rows of the queue, made directly, and what looks after them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from mailboat.db.states import Lane, State
from mailboat.domain import identifier

ENVELOPE = '{"sender":{"email":"orders@shop.example.com"},"to":[{"email":"ada@example.com"}]}'
CONTENT = '{"subject":"Ahoy","text":"Hello"}'


@pytest.fixture
def put(query: Any, client: Any) -> Callable[..., UUID]:
    """put(**columns of queue): a message of `client` with its queue row; `age` makes it look untouched for so long."""

    def put(*, age: float = 0.0, client_id: int | None = None, **columns: Any) -> UUID:
        message_id = identifier.new()
        values = {"lane": Lane.NORMAL, "state": State.QUEUED} | columns
        owner = client_id or client.id
        query(
            "insert into messages (id, client_id, envelope, data, content, traceparent) "
            "values ($1, $2, $3::json, '{}', $4::json, '')",
            message_id,
            owner,
            ENVELOPE,
            CONTENT,
        )
        places = ", ".join(f"${n}" for n in range(4, len(values) + 4))
        query(
            f"insert into queue (id, client_id, updated_at, {', '.join(values)}) "
            f"values ($1, $2, now() - $3 * interval '1 second', {places})",
            message_id,
            owner,
            age,
            *values.values(),
        )
        return message_id

    return put


@pytest.fixture
def row(query: Any) -> Callable[[UUID], asyncpg.Record]:
    """row(id): the message's queue row."""
    return lambda message_id: query("select * from queue where id = $1", message_id)[0]


@pytest.fixture
def worker_row(query: Any) -> Callable[..., int]:
    """worker_row(name, silence=seconds): the id of a worker whose heartbeat is that old."""

    def make(name: str = "other", silence: float = 0.0) -> int:
        ((worker_id,),) = query(
            "insert into workers (name, heartbeat_at) values ($1, now() - $2 * interval '1 second') returning id",
            name,
            silence,
        )
        return int(worker_id)

    return make
