"""/admin/clients: clients and their keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import administrator, context_of
from mailboat.api.routes import providers as api_providers
from mailboat.delivery import providers
from mailboat.delivery.administer import Administration
from mailboat.delivery.client_change import ClientChange

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(administrator)])

LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # RFC 1123, as Kubernetes names
Label = Annotated[str, Field(pattern=LABEL, max_length=63)]


class NewClient(ClientChange):
    """A new client."""

    name: Label
    namespace: Label = "default"


class ClientShown(BaseModel):
    """A client, its limits and this month's use."""

    namespace: str
    name: str
    suspended: bool
    senders: list[str]
    templates: list[str]
    route: list[str]
    lane: str
    on_uncertain: str
    rate_per_minute: int
    rate_burst: int
    quota_monthly: int | None
    retry_attempts: int | None
    retry_base_seconds: float | None
    retry_cap_seconds: float | None
    accepted_this_month: int
    created_at: datetime
    updated_at: datetime


class ClientAlone(ClientShown):
    """One client. `warnings` say what it was given that cannot work as it stands."""

    warnings: list[str]


class ClientPage(BaseModel):
    """Clients by namespace and name; `next` is the `after` of the following page."""

    items: list[ClientShown]
    next: str | None


class Expiry(BaseModel):
    """For a new key."""

    model_config = ConfigDict(extra="forbid")

    expires_in_seconds: float | None = Field(None, gt=0, le=10 * 366 * 86400)


class KeyRotation(BaseModel):
    """For a rotation: how long the keys before it stay valid."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: float = Field(86400, ge=0, le=366 * 86400)


class KeyShown(BaseModel):
    """A key; of its secret nothing is kept that could be shown."""

    key: str
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyMade(KeyShown):
    """A new key with its secret: this once."""

    secret: str


def _administration(request: Request) -> Administration:
    return Administration(context_of(request).orm)


Admin = Annotated[Administration, Depends(_administration)]


@router.post("/clients", status_code=201, response_model=ClientAlone)
async def create_client(request: Request, admin: Admin, body: NewClient) -> Any:
    """Make a client. It can send once it has a key."""
    return await _with_warnings(request, await admin.create_client(body.namespace, body.name, body.values()))


@router.get("/clients", response_model=ClientPage)
async def list_clients(
    admin: Admin,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,63}/[a-z0-9-]{1,63}$")] = None,
) -> Any:
    """Every client, by namespace and name."""
    return await admin.list_clients(limit, after)


@router.get("/clients/{namespace}/{name}", response_model=ClientAlone)
async def get_client(request: Request, admin: Admin, namespace: str, name: str) -> Any:
    """One client."""
    return await _with_warnings(request, await admin.get_client(namespace, name))


@router.patch("/clients/{namespace}/{name}", response_model=ClientAlone)
async def update_client(request: Request, admin: Admin, namespace: str, name: str, body: ClientChange) -> Any:
    """Change a client; what is not given stays."""
    return await _with_warnings(request, await admin.update_client(namespace, name, body.values(), "client.update"))


async def _with_warnings(request: Request, client: dict[str, Any]) -> dict[str, Any]:
    """With what its route lacks."""
    context = context_of(request)
    fixed = [name for name, _ in api_providers.fixed(context)]
    missing = await providers.unknown(context.pool, client["namespace"], client["route"], fixed)
    return client | {"warnings": [providers.warning(client["namespace"], missing, client["route"])] if missing else []}


@router.post("/clients/{namespace}/{name}/suspend", response_model=ClientShown)
async def suspend_client(admin: Admin, namespace: str, name: str) -> Any:
    """From now on the client's requests are answered with 403. What it had accepted is still sent."""
    return await admin.update_client(namespace, name, {"suspended": True}, "client.suspend")


@router.post("/clients/{namespace}/{name}/resume", response_model=ClientShown)
async def resume_client(admin: Admin, namespace: str, name: str) -> Any:
    """The client may send again."""
    return await admin.update_client(namespace, name, {"suspended": False}, "client.resume")


@router.post("/clients/{namespace}/{name}/keys", status_code=201, response_model=KeyMade)
async def create_key(admin: Admin, namespace: str, name: str, body: Expiry | None = None) -> Any:
    """Another key for a client. The secret is in this answer and nowhere else."""
    return await admin.create_key(namespace, name, body.expires_in_seconds if body else None)


@router.get("/clients/{namespace}/{name}/keys", response_model=list[KeyShown])
async def list_keys(admin: Admin, namespace: str, name: str) -> Any:
    """The client's keys, newest first."""
    return await admin.list_keys(namespace, name)


@router.post("/clients/{namespace}/{name}/keys/rotate", status_code=201, response_model=KeyMade)
async def rotate_keys(admin: Admin, namespace: str, name: str, body: KeyRotation | None = None) -> Any:
    """A new key; those before it end after the overlap."""
    return await admin.rotate_keys(namespace, name, (body or KeyRotation()).overlap_seconds)


@router.post("/clients/{namespace}/{name}/keys/{key}/revoke", response_model=KeyShown)
async def revoke_key(admin: Admin, namespace: str, name: str, key: str) -> Any:
    """From now on this key is wrong, in every process."""
    return await admin.revoke_key(namespace, name, key)
