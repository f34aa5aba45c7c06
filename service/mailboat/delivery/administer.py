"""Clients and their keys, as an administrator handles them. Every change leaves an audit row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mailboat.db.states import Lane
from mailboat.db.tables import Audit, Client, ClientKey, Usage
from mailboat.delivery import pairs
from mailboat.errors import Problem

LANES = {lane.word: lane for lane in Lane}
SHOWN = ("namespace", "name", "suspended", "senders", "templates", "route", "on_uncertain", "rate_per_minute",
         "rate_burst", "quota_monthly", "retry_attempts", "retry_base_seconds", "retry_cap_seconds", "created_at",
         "updated_at")  # fmt: skip


class Administration:
    """One transaction per act, audited with the actor's name."""

    def __init__(self, engine: AsyncEngine, actor: str = "admin") -> None:
        self._engine, self._actor = engine, actor

    def _session(self) -> AsyncSession:
        return AsyncSession(self._engine, expire_on_commit=False)

    async def create_client(self, namespace: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Raises Problem 409 when the name is taken."""
        async with self._session() as session:
            client = Client(namespace=namespace, name=name, **_columns(values))
            session.add(client)
            self._note(session, "client.create", f"{namespace}/{name}", values)
            try:
                await session.commit()
            except IntegrityError:
                raise Problem(
                    409, "already_exists", f"There is a client {namespace}/{name} already.", field="name"
                ) from None
            await session.refresh(client)
            return _shown(client, 0)

    async def update_client(self, namespace: str, name: str, values: dict[str, Any], action: str) -> dict[str, Any]:
        """Change what is given. Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            for column, value in _columns(values).items():
                setattr(client, column, value)
            client.updated_at = datetime.now(UTC)
            self._note(session, action, f"{namespace}/{name}", values)
            await session.commit()
            await session.refresh(client)
            return _shown(client, await _accepted(session, client))

    async def get_client(self, namespace: str, name: str) -> dict[str, Any]:
        """Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            return _shown(client, await _accepted(session, client))

    async def list_clients(self, limit: int, after: str | None) -> dict[str, Any]:
        """`{"items": […], "next": "namespace/name" or None}`, by namespace and name."""
        async with self._session() as session:
            query = select(Client).order_by(col(Client.namespace), col(Client.name)).limit(limit + 1)
            if after is not None:
                namespace, _, name = after.partition("/")
                later = col(Client.namespace) > namespace
                query = query.where(later | ((col(Client.namespace) == namespace) & (col(Client.name) > name)))
            clients = (await session.exec(query)).all()
            items = [_shown(client, await _accepted(session, client)) for client in clients[:limit]]
        more = len(clients) > limit
        return {"items": items, "next": f"{clients[limit - 1].namespace}/{clients[limit - 1].name}" if more else None}

    async def create_key(self, namespace: str, name: str, expires_in: float | None = None) -> dict[str, Any]:
        """A new pair; the secret is shown here and never again. Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            key, secret = _new_key(client, expires_in)
            session.add(key)
            self._note(session, "key.create", f"{namespace}/{name}", {"key": key.key})
            await session.commit()
            await session.refresh(key)
            return _shown_key(key) | {"secret": secret}

    async def list_keys(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """Every key of a client, the newest first. Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            query = select(ClientKey).where(ClientKey.client_id == client.id)
            return [_shown_key(k) for k in await session.exec(query.order_by(col(ClientKey.created_at).desc()))]

    async def rotate_keys(self, namespace: str, name: str, overlap: float) -> dict[str, Any]:
        """A new pair; the pairs before it end after `overlap` seconds. Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            ends = datetime.now(UTC) + timedelta(seconds=overlap)
            for old in await session.exec(select(ClientKey).where(ClientKey.client_id == client.id)):
                if old.revoked_at is None and (old.expires_at is None or old.expires_at > ends):
                    old.expires_at = ends
            key, secret = _new_key(client, None)
            session.add(key)
            self._note(session, "key.rotate", f"{namespace}/{name}", {"key": key.key, "overlap_seconds": overlap})
            await session.commit()
            await session.refresh(key)
            return _shown_key(key) | {"secret": secret}

    async def revoke_key(self, namespace: str, name: str, key_id: str) -> dict[str, Any]:
        """From now on the key is wrong. Raises Problem 404."""
        async with self._session() as session:
            client = await _client(session, namespace, name)
            key = await session.get(ClientKey, key_id) if "\0" not in key_id else None
            if key is None or key.client_id != client.id:
                raise Problem(404, "not_found", f"{namespace}/{name} has no key {key_id!r}.")
            key.revoked_at = key.revoked_at or datetime.now(UTC)
            self._note(session, "key.revoke", f"{namespace}/{name}", {"key": key_id})
            await session.commit()
            return _shown_key(key)

    def _note(self, session: AsyncSession, action: str, subject: str, detail: dict[str, Any]) -> None:
        session.add(Audit(actor=self._actor, action=action, subject=subject, detail=detail))


async def _client(session: AsyncSession, namespace: str, name: str) -> Client:
    query = select(Client).where(Client.namespace == namespace, Client.name == name)
    client = (await session.exec(query)).first() if "\0" not in namespace + name else None
    if client is None:
        raise Problem(404, "not_found", f"There is no client {namespace}/{name}.")
    return client


async def _accepted(session: AsyncSession, client: Client) -> int:
    month = datetime.now(UTC).date().replace(day=1)
    usage = await session.get(Usage, (client.id, month))
    return usage.accepted if usage else 0


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return values | ({"lane": LANES[values["lane"]]} if "lane" in values else {})


def _new_key(client: Client, expires_in: float | None) -> tuple[ClientKey, str]:
    key, secret, hashed = pairs.new_pair()
    assert client.id is not None
    made = ClientKey(
        key=key,
        client_id=client.id,
        secret_hash=hashed,
        expires_at=datetime.now(UTC) + timedelta(seconds=expires_in) if expires_in is not None else None,
    )
    return made, secret


def _shown(client: Client, accepted: int) -> dict[str, Any]:
    shown = {name: getattr(client, name) for name in SHOWN}
    return shown | {"lane": Lane(client.lane).word, "accepted_this_month": accepted}


def _shown_key(key: ClientKey) -> dict[str, Any]:
    now = datetime.now(UTC)
    state = "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "active"
    return {
        "key": key.key,
        "state": state,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
