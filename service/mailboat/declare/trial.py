"""Trial: one provider made for a single question, be it whether it answers or whether it takes a mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from mailboat.declare.seal import Sealer
from mailboat.domain import identifier
from mailboat.domain.address import Address
from mailboat.domain.message import Envelope, Mail
from mailboat.errors import ConfigurationError, Problem, ProviderError
from mailboat.providers import records, registry
from mailboat.providers.base import Provider
from mailboat.settings import Settings

PATIENCE_SECONDS = 8.0
CLIENT = "a test"
"""Who sent a trial mail, where a provider keeps that."""


class Answer(NamedTuple):
    """What the provider said, in its own words, and whether that was a yes."""

    ok: bool
    detail: str
    seconds: float


async def check(pool: asyncpg.Pool, settings: Settings, name: str, patience: float = PATIENCE_SECONDS) -> Answer:
    """Connect and authenticate; nothing is sent. Raises Problem 503, and what `engine.AWAY` names."""
    async with _made(pool, settings, name) as provider:
        return await _asked(provider.check(), patience)


async def send(pool: asyncpg.Pool, settings: Settings, name: str, sender: Address, to: Address, subject: str) -> Answer:
    """Hand one mail over, past the queue and whatever its circuit says. Raises as `check` does."""
    async with _made(pool, settings, name) as provider:
        return await _asked(_sent(provider, _mail(sender, to, subject, name)), PATIENCE_SECONDS)


async def _sent(provider: Provider, mail: Mail) -> str:
    receipt = await provider.send(provider.build(mail))
    if receipt.refused:
        raise ProviderError("; ".join(refusal.detail for refusal in receipt.refused.values()))
    return receipt.detail


def _mail(sender: Address, to: Address, subject: str, name: str) -> Mail:
    number = identifier.new()
    words = f"Mailboat sent this to try the provider {name}. There is nothing to do."
    return Mail(
        id=number,
        message_id=f"<{number}@{sender.domain}>",
        date=datetime.now(UTC),
        envelope=Envelope(sender=sender, to=(to,)),
        recipients=(to,),
        subject=subject,
        html=None,
        text=words,
        client=CLIENT,
    )


async def _asked(question: Awaitable[str], patience: float) -> Answer:
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            ok, detail = True, await question
    except ProviderError as error:
        ok, detail = False, str(error) or type(error).__name__
    except TimeoutError:
        ok, detail = False, f"no answer within {patience:g} s"
    return Answer(ok, detail, time.monotonic() - began)


@asynccontextmanager
async def _made(pool: asyncpg.Pool, settings: Settings, name: str) -> AsyncIterator[Provider]:
    """A provider of its own, by its name in the settings or as namespace/name."""
    provider = await _found(pool, settings, name)
    try:
        yield provider
    finally:
        await provider.close()


async def _found(pool: asyncpg.Pool, settings: Settings, name: str) -> Provider:
    try:
        if "/" not in name and (made := registry.of_settings(settings, pool).providers.get(name)) is not None:
            return made
        for record in await records.load(pool, Sealer(settings.sealing_key).open):
            if f"{record.namespace}/{record.name}" == name:
                return records.build(record, pool)
    except ConfigurationError as error:
        raise Problem(503, "unavailable", f"{name} cannot be used as it is set up: {error}") from None
    raise Problem(503, "unavailable", f"The secrets of {name} cannot be opened here: check MAILBOAT_SEALING_KEY.")
