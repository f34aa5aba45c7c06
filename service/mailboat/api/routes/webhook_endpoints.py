"""/v1/webhook-endpoints: the URLs that a client wants told of what happens to its mail."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import authenticated, context_of
from mailboat.declare.seal import Sealer
from mailboat.delivery.clients import Client
from mailboat.delivery.endpoints import Endpoints
from mailboat.errors import ConfigurationError, Problem

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhook endpoints"])

Url = Annotated[str, Field(min_length=10, max_length=2048)]
EventName = Literal[
    "sent", "failed", "deferred", "delivered", "bounced", "rejected", "complained", "opened", "clicked", "unsubscribed"
]
DeliveryState = Literal["waiting", "paused", "sending", "delivered", "failed"]


class NewEndpoint(BaseModel):
    """A URL to be told; without events, of all."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: list[EventName] = Field([], max_length=20)


class EndpointChange(BaseModel):
    """What may be changed; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: list[EventName] | None = Field(None, max_length=20)


class Endpoint(BaseModel):
    """An endpoint. `origin`: api, or resource for one that an EmailClient declares."""

    id: UUID
    url: str
    events: list[str]
    origin: Literal["api", "resource"]
    state: Literal["active", "paused"]
    failures: int = Field(description="failed tries since the last success")
    failing_since: datetime | None
    paused_at: datetime | None
    paused_reason: str | None
    old_secret_until: datetime | None = Field(description="until then the secret before signs too")
    created_at: datetime
    updated_at: datetime


class EndpointMade(Endpoint):
    """An endpoint with its secret: this once."""

    secret: str


class SecretRotation(BaseModel):
    """How long the secret before signs beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: float = Field(86400, ge=0, le=30 * 86400)


class DeliveryTry(BaseModel):
    """One try of a delivery; no status: nobody answered."""

    at: datetime
    status: int | None
    detail: str
    seconds: float


class Delivery(BaseModel):
    """One event on its way to one endpoint; its id is the webhook-id."""

    id: UUID
    event: str
    state: DeliveryState
    attempts: int
    next_try_at: datetime | None
    body: dict[str, Any]
    tries: list[DeliveryTry]
    created_at: datetime


class DeliveryPage(BaseModel):
    """The newest first; `next` is the `cursor` of the following page."""

    items: list[Delivery]
    next: UUID | None


class Tested(BaseModel):
    """The delivery of a test event."""

    delivery_id: UUID


class DeliveriesReplayed(BaseModel):
    """How many are told again."""

    replayed: int


def _endpoints(request: Request, client: Annotated[Client, Depends(authenticated)]) -> Endpoints:
    context = context_of(request)
    try:
        sealer = Sealer(context.settings.sealing_key)
        if not context.settings.sealing_key:
            raise ConfigurationError(
                "webhook endpoints have secrets to seal: its operator has to set MAILBOAT_SEALING_KEY."
            )
    except ConfigurationError as error:
        raise Problem(503, "unavailable", f"This server cannot keep secrets: {error}") from None
    return Endpoints(context.pool, client.id, sealer.seal, sealer.open)


Mine = Annotated[Endpoints, Depends(_endpoints)]


@router.post("", status_code=201, response_model=EndpointMade)
async def create_endpoint(mine: Mine, body: NewEndpoint) -> Any:
    """Make an endpoint. Its secret is in this answer and nowhere else."""
    return await mine.add(body.url, body.events)


@router.get("", response_model=list[Endpoint])
async def list_endpoints(mine: Mine) -> Any:
    """The client's endpoints."""
    return await mine.list()


@router.get("/{endpoint}", response_model=Endpoint)
async def get_endpoint(mine: Mine, endpoint: UUID) -> Any:
    """One endpoint."""
    return await mine.get(endpoint)


@router.patch("/{endpoint}", response_model=Endpoint)
async def update_endpoint(mine: Mine, endpoint: UUID, body: EndpointChange) -> Any:
    """Change an endpoint; what is not given stays."""
    return await mine.change(endpoint, body.url, body.events)


@router.delete("/{endpoint}", status_code=204)
async def delete_endpoint(mine: Mine, endpoint: UUID) -> None:
    """Tell it nothing more; its log goes too."""
    await mine.remove(endpoint)


@router.post("/{endpoint}/rotate", response_model=EndpointMade)
async def rotate_secret(mine: Mine, endpoint: UUID, body: SecretRotation | None = None) -> Any:
    """A new secret; during the overlap each delivery is signed with both."""
    return await mine.rotate(endpoint, (body or SecretRotation()).overlap_seconds)


@router.post("/{endpoint}/pause", response_model=Endpoint)
async def pause_endpoint(mine: Mine, endpoint: UUID) -> Any:
    """Tell it nothing for now; what happens meanwhile is kept."""
    return await mine.pause(endpoint)


@router.post("/{endpoint}/resume", response_model=Endpoint)
async def resume_endpoint(mine: Mine, endpoint: UUID) -> Any:
    """Tell it again, beginning with what was kept."""
    return await mine.resume(endpoint)


@router.post("/{endpoint}/test", status_code=202, response_model=Tested)
async def test_endpoint(mine: Mine, endpoint: UUID) -> Any:
    """Send an event of type `test`; the log shows how it fared."""
    return {"delivery_id": await mine.test(endpoint)}


@router.get("/{endpoint}/deliveries", response_model=DeliveryPage)
async def list_deliveries(
    mine: Mine,
    endpoint: UUID,
    state: DeliveryState | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: UUID | None = None,
) -> Any:
    """What it was told, each try with the answer, the newest first."""
    return await mine.log(endpoint, state=state, limit=limit, cursor=cursor)


@router.post("/{endpoint}/replay", response_model=DeliveriesReplayed)
async def replay_failed(mine: Mine, endpoint: UUID) -> Any:
    """Tell everything again that failed for good, up to 1,000 deliveries."""
    return {"replayed": await mine.replay(endpoint, None)}


@router.post("/{endpoint}/deliveries/{delivery}/replay", response_model=DeliveriesReplayed)
async def replay_delivery(mine: Mine, endpoint: UUID, delivery: UUID) -> Any:
    """Tell one delivery again, with the same webhook-id."""
    return {"replayed": await mine.replay(endpoint, delivery)}
