"""Which providers this process has. A new kind is one file and one line in KINDS."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import asyncpg

from mailboat.errors import ConfigurationError
from mailboat.providers import manifest
from mailboat.providers.base import Provider
from mailboat.providers.inbox import Inbox
from mailboat.providers.manifest import Manifest
from mailboat.providers.pace import Paced
from mailboat.providers.smtp import Smtp
from mailboat.settings import Settings

Factory = Callable[[Manifest, asyncpg.Pool], Provider]


def _of(place: str) -> Factory:
    """A kind that is loaded when a manifest names it: their libraries are large, and few processes need them all."""

    def make(given: Manifest, pool: asyncpg.Pool) -> Provider:
        module, _, name = place.partition(":")
        maker = getattr(importlib.import_module(module), name)
        made: Provider = getattr(maker, "from_manifest", maker)(given)
        return made

    return make


KINDS: dict[str, Factory] = {
    "inbox": lambda given, pool: Inbox(given.name, pool),
    "smtp": _of("mailboat.providers.smtp_manifest:from_manifest"),
    "ses": _of("mailboat.providers.ses:Ses"),
    "sendgrid": _of("mailboat.providers.sendgrid:SendGrid"),
    "mailgun": _of("mailboat.providers.mailgun:Mailgun"),
    "postmark": _of("mailboat.providers.postmark:Postmark"),
}
"""How a manifest makes a provider of each kind. Raises ConfigurationError naming file, item and field."""


def _smtp(settings: Settings) -> Smtp:
    """The provider of MAILBOAT_SMTP_URL and its neighbours."""
    signer = None
    if settings.dkim_domain or settings.dkim_key_file:
        from mailboat.providers.dkim import Signer

        signer = Signer.from_settings(settings)
    return Smtp.from_url(
        "smtp",
        settings.smtp_url,
        connections=settings.smtp_connections,
        timeout=settings.smtp_timeout,
        ca_file=settings.smtp_ca_file,
        dkim=signer,
    )


class Fixed(NamedTuple):
    """The providers of the settings by name, and what is said there of their circuits."""

    providers: dict[str, Provider]
    breakers: dict[str, dict[str, Any]]


def of_settings(settings: Settings, pool: asyncpg.Pool) -> Fixed:
    """Every provider that the settings ask for; `inbox` always. Raises ConfigurationError."""
    made: dict[str, Provider] = {"inbox": Inbox("inbox", pool)}
    if settings.smtp_url:
        made["smtp"] = _smtp(settings)
    listed = _listed(settings)
    for given in listed:
        if given.name in made:
            raise ConfigurationError(f"{given.place}: name: {given.name} is there already, by the settings. Rename it.")
        provider = KINDS[given.kind](given, pool)
        pace = given.limits.max_per_second
        made[given.name] = provider if pace is None else Paced(provider, pace)
    return Fixed(made, {given.name: given.breaker for given in listed})


def names(settings: Settings) -> list[tuple[str, str]]:
    """The name and kind of each of them, without making any. Raises ConfigurationError."""
    own = [("inbox", "inbox")] + ([("smtp", "smtp")] if settings.smtp_url else [])
    return own + [(one.name, one.kind) for one in _listed(settings)]


def _listed(settings: Settings) -> Sequence[Manifest]:
    return manifest.read(settings.providers_file, KINDS) if settings.providers_file else ()
