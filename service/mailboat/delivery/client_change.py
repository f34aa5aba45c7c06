"""What may be changed about a client, and what each of it may be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mailboat.delivery import senders
from mailboat.domain import leg
from mailboat.domain.address import InvalidAddress
from mailboat.registry.folder import NAME as TEMPLATE_NAME

NULLABLE = ("quota_monthly", "retry_attempts", "retry_base_seconds", "retry_cap_seconds")
ROUTE_ENTRY = r"^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?(=[0-9]{1,4})?$"  # a provider, or provider=weight
RouteEntry = Annotated[str, Field(pattern=ROUTE_ENTRY, max_length=68)]


class ClientChange(BaseModel):
    """What may be changed about a client; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    senders: list[Annotated[str, Field(max_length=320)]] | None = Field(None, max_length=100)
    templates: list[Annotated[str, Field(max_length=128)]] | None = Field(None, max_length=500)
    route: list[RouteEntry] | None = Field(None, max_length=10)
    lane: Literal["high", "normal", "bulk"] | None = None
    on_uncertain: Literal["resend", "hold"] | None = None
    rate_per_minute: int | None = Field(None, ge=1, le=100_000_000)
    rate_burst: int | None = Field(None, ge=1, le=10_000_000)
    quota_monthly: int | None = Field(None, ge=0, le=10**15)
    retry_attempts: int | None = Field(None, ge=1, le=1000)
    retry_base_seconds: float | None = Field(None, gt=0, le=86400)
    retry_cap_seconds: float | None = Field(None, gt=0, le=7 * 86400)

    @field_validator("senders")
    @classmethod
    def _senders(cls, value: list[str] | None) -> list[str] | None:
        for pattern in value or []:
            try:
                senders.check(pattern)
            except InvalidAddress as error:
                raise ValueError(
                    f"{pattern!r} is neither an address nor a pattern like *@example.com: {error}"
                ) from None
        return value

    @field_validator("templates")
    @classmethod
    def _templates(cls, value: list[str] | None) -> list[str] | None:
        for pattern in value or []:
            if not TEMPLATE_NAME.fullmatch(pattern.replace("*", "x").replace("?", "x")):
                raise ValueError(f"{pattern!r} is neither a template's name nor a pattern like order-*")
        return value

    @field_validator("route")
    @classmethod
    def _route(cls, value: list[str] | None) -> list[str] | None:
        if (name := leg.twice(value or [])) is not None:
            raise ValueError(f"{name!r} is named twice: keep one of them")
        return value

    def values(self) -> dict[str, Any]:
        """The fields that were given; null means something only where a client may go without."""
        given = self.model_dump(include=self.model_fields_set)
        return {k: v for k, v in given.items() if k in ClientChange.model_fields and (v is not None or k in NULLABLE)}
