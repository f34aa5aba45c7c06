"""Which providers this process has. A new kind is one file and one line in KINDS."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from mailboat.providers.base import Provider
from mailboat.providers.inbox import Inbox
from mailboat.providers.smtp import Smtp
from mailboat.settings import Settings

Factory = Callable[[str, Settings, asyncpg.Pool], Provider | None]


def _inbox(name: str, settings: Settings, pool: asyncpg.Pool) -> Provider:
    return Inbox(name, pool)


def _smtp(name: str, settings: Settings, pool: asyncpg.Pool) -> Provider | None:
    if not settings.smtp_url:
        return None
    return Smtp.from_url(
        name,
        settings.smtp_url,
        connections=settings.smtp_connections,
        timeout=settings.smtp_timeout,
        ca_file=settings.smtp_ca_file,
    )


KINDS: dict[str, Factory] = {"inbox": _inbox, "smtp": _smtp}
"""How the settings make a provider of each kind; None where they ask for none."""


def providers_for(settings: Settings, pool: asyncpg.Pool) -> dict[str, Provider]:
    """Every provider that the settings ask for, by name; `inbox` always. Raises ConfigurationError."""
    made = {kind: make(kind, settings, pool) for kind, make in KINDS.items()}
    return {name: provider for name, provider in made.items() if provider is not None}
