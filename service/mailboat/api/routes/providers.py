"""/admin/providers: what there is, how each one's circuit stands, and the switch."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import administrator, context_of
from mailboat.api.context import Context
from mailboat.declare import trial
from mailboat.delivery import providers
from mailboat.errors import ConfigurationError, Problem
from mailboat.limits.breaker import State
from mailboat.providers import registry

router = APIRouter(prefix="/admin/providers", tags=["providers"], dependencies=[Depends(administrator)])
CHECK_SECONDS = 10.0


class Change(BaseModel):
    """One change of a circuit; `manual`: by a person."""

    state: Literal["closed", "open", "half-open"]
    manual: bool
    reason: str
    at: datetime


class ProviderShown(BaseModel):
    """A provider. A declared one is called namespace/name. While `held_open` is true a person keeps it out."""

    name: str
    kind: str
    origin: Literal["settings", "resource"]
    circuit: Literal["closed", "open", "half-open"]
    held_open: bool
    history: list[Change] = Field(description="the newest first")


class Reason(BaseModel):
    """Why, for those who read the history."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500, pattern=r"^[^\x00]*$")


class Checked(BaseModel):
    """What the provider answered."""

    reachable: bool
    detail: str


@router.get("", response_model=list[ProviderShown])
async def list_providers(request: Request) -> Any:
    """Every provider with its circuit."""
    context = context_of(request)
    return await providers.listed(context.pool, fixed(context))


@router.post("/{name:path}/open", response_model=ProviderShown)
async def open_provider(request: Request, name: str, body: Reason | None = None) -> Any:
    """Keep a provider out until a person closes its circuit: mail takes the next one of its route, or waits."""
    return await _switched(context_of(request), name, "open", body)


@router.post("/{name:path}/close", response_model=ProviderShown)
async def close_provider(request: Request, name: str, body: Reason | None = None) -> Any:
    """Let mail through again, whatever failed before."""
    return await _switched(context_of(request), name, "closed", body)


@router.post("/{name:path}/test", response_model=Checked)
async def test_provider(request: Request, name: str) -> Any:
    """Connect and authenticate; nothing is sent."""
    context = context_of(request)
    await _one(context, name)
    answer = await trial.check(context.pool, context.settings, name, CHECK_SECONDS)
    return {"reachable": answer.ok, "detail": answer.detail}


def fixed(context: Context) -> list[tuple[str, str]]:
    """The name and kind of each provider of the settings."""
    try:
        return registry.names(context.settings)
    except ConfigurationError as error:
        raise _unreadable(error) from None


def _unreadable(error: ConfigurationError) -> Problem:
    return Problem(503, "unavailable", f"The providers of the settings cannot be read: {error}")


async def _one(context: Context, name: str) -> dict[str, Any]:
    """Raises Problem 404."""
    for found in await providers.listed(context.pool, fixed(context)):
        if found["name"] == name:
            return found
    raise Problem(404, "not_found", f"There is no provider {name}: declared ones are called namespace/name.")


async def _switched(context: Context, name: str, state: State, body: Reason | None) -> dict[str, Any]:
    await _one(context, name)
    await providers.switch(context.pool, name, state, (body.reason if body else "") or "by an administrator")
    return await _one(context, name)
