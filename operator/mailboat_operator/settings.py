"""How kopf is set up. What each line is for: pitfalls of kopf that were met by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import kopf

from mailboat_crds import GROUP
from mailboat_operator.kube import expiration, login
from mailboat_operator.reconcile.objects import OWN


class Nothing(kopf.DiffBaseStorage):
    """kopf would keep in an annotation what it has handled last. We have no handlers for which it needs to know."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> Any:
        return {}

    def fetch(self, *, body: kopf.Body) -> None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        raise AssertionError("a handler was registered for which kopf writes to the objects")


def configured() -> kopf.OperatorSettings:
    """Only one replica leads (no peering), the kinds are known (no scanning), Secrets are never kopf's."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    settings.execution.default_backoff = 5
    settings.queueing.exit_timeout = 10
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 200
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.persistence.finalizer = f"{GROUP}/finalizer"  # never set, see `handlers`
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=OWN, v1=False)  # the same
    settings.persistence.diffbase_storage = Nothing()
    return settings


def sign_in(registry: kopf.OperatorRegistry) -> None:
    """Tokens are read again while the old one still holds, not when the first request is refused."""

    @kopf.on.login(registry=registry)
    def again(**_: Any) -> kopf.ConnectionInfo:
        return dataclasses.replace(login(), expiration=expiration())
