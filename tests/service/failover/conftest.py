"""Two mail servers behind declared providers, a client that is routed to both, and a quick way to send many mails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def backup(aside: Any, sink: Any) -> Iterator[Any]:
    """A second SMTP server."""
    backup = type(sink)(aside)
    yield backup
    backup.close()


@pytest.fixture
def declare(query: Callable[..., Any]) -> Callable[..., None]:
    """declare(name, sink, **circuit_breaker): an SMTP provider of everybody."""

    def declare(name: str, sink: Any, **breaker: Any) -> None:
        spec = {
            "smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none"},
            "limits": {"timeout": "5s", "maxConcurrent": 4},
            "circuitBreaker": breaker,
        }
        query(
            "insert into providers (namespace, name, kind, spec, allowed) values ('default', $1, 'smtp', $2, '{*}') "
            "on conflict (namespace, name) do update set spec = excluded.spec",
            name,
            json.dumps(spec),
        )

    return declare


@pytest.fixture
def routed(new_client: Callable[..., Any], declare: Callable[..., None], sink: Any, backup: Any) -> Any:
    """A client whose mail goes to `primary`, which is `sink`, and then to `secondary`, which is `backup`."""
    declare("primary", sink, failures=5, window="60s", cooldown="1s")
    declare("secondary", backup, failures=5, window="60s", cooldown="1s")
    return new_client("shop", route=["primary", "secondary"])


@pytest.fixture
def send(acceptor: Any, draft_of: Callable[..., Any]) -> Callable[..., Any]:
    """await send(client, count): the ids of so many mails, accepted in one go."""

    async def send(client: Any, count: int = 1) -> list[Any]:
        drafts = [draft_of(client_id=client.id) for _ in range(count)]
        for first in range(0, count, 500):
            await acceptor.accept_all(drafts[first : first + 500])
        return [draft.id for draft in drafts]

    return send
