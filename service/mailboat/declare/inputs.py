"""What a resource refers to, and what was found there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from mailboat_crds.models import EmailClient, EmailProvider, EmailTemplate, Resource

Contents = Mapping[str, Mapping[str, str]]
"""Secrets or ConfigMaps of one namespace: by name, their keys and values as text."""


class Inputs(msgspec.Struct, frozen=True):
    """The Secrets and ConfigMaps beside a resource; those that are not there are missing here too."""

    secrets: Contents = {}
    config_maps: Contents = {}

    def __repr__(self) -> str:
        return f"Inputs(secrets={sorted(self.secrets)}, config_maps={sorted(self.config_maps)})"

    def of(self, resource: Resource) -> Inputs:
        """Only what this resource refers to."""
        return Inputs(
            {name: self.secrets[name] for name in secrets_of(resource) if name in self.secrets},
            {name: self.config_maps[name] for name in config_maps_of(resource) if name in self.config_maps},
        )

    def digest(self) -> str:
        """Of the ConfigMaps alone: Secrets have fingerprints of their own (`seal.Sealer.fingerprint`)."""
        return hashlib.sha256(msgspec.json.encode(self.config_maps, order="sorted")).hexdigest()


def secrets_of(resource: Resource) -> list[str]:
    """Names of the Secrets that a resource refers to, in its own namespace, each once."""
    return list(dict.fromkeys(_secrets(resource)))


def config_maps_of(resource: Resource) -> list[str]:
    """Names of the ConfigMaps that a resource refers to."""
    reference = resource.spec.source_ref if isinstance(resource, EmailTemplate) else None
    return [reference.name] if reference else []


def _secrets(resource: Resource) -> Iterator[str]:
    if isinstance(resource, EmailClient):
        yield from (webhook.secret_ref.name for webhook in resource.spec.webhooks)
    if isinstance(resource, EmailProvider):
        spec = resource.spec
        for part in (spec.credentials, spec.webhook):
            if part is not None:
                yield part.secret_ref.name
        if spec.smtp is not None and spec.smtp.ca_secret_ref is not None:
            yield spec.smtp.ca_secret_ref.name
        if spec.smtp is not None and spec.smtp.dkim is not None:
            yield spec.smtp.dkim.secret_ref.name
