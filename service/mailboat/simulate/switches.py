"""What can be told to go wrong, at start by a flag and at any time by PUT /_simulator/settings."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

S = TypeVar("S", bound="Switches")
Rate = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=3600)]


class Switches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Rates are shares of calls, 0 to 1. The descriptions are the help of the flags."""

    latency: Annotated[Seconds, Meta(description="Seconds before each answer.")] = 0.0
    failure_rate: Annotated[Rate, Meta(description="Share of sends answered with --failure-status.")] = 0.0
    failure_status: Annotated[int, Meta(ge=500, le=599, description="Status of those answers.")] = 503
    max_per_second: Annotated[float, Meta(ge=0, description="Sends over this pace are throttled; 0: no limit.")] = 0.0
    lost_answer_rate: Annotated[Rate, Meta(description="Share of sends taken, but never answered.")] = 0.0
    webhook_url: Annotated[
        str, Meta(pattern="^(https?://.+)?$", description="Where events go, with user:password@ for basic auth.")
    ] = ""
    event_delay: Annotated[Seconds, Meta(description="Seconds before an event is sent.")] = 0.0
    event_jitter: Annotated[Seconds, Meta(description="Up to so many seconds more, by chance.")] = 0.0
    event_copies: Annotated[int, Meta(ge=1, le=100, description="How often each event is sent.")] = 1
    shuffle_events: Annotated[bool, Meta(description="Send the events of a mail in any order.")] = False


def changed(switches: S, wishes: dict[str, Any], *, strict: bool = True) -> S:
    """The switches with some of them changed, by their names in JSON. Raises msgspec.ValidationError naming the
    field; without `strict`, texts are read as numbers."""
    return msgspec.convert({**msgspec.to_builtins(switches), **wishes}, type(switches), strict=strict)
