"""A declarer over a database of the test's own, and manifests to declare."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from mailboat.db import engine
from mailboat.declare import seal
from mailboat.declare.declarer import Declarer
from mailboat.declare.seal import Sealer
from mailboat.render.pool import Pool
from mailboat_crds import check
from mailboat_crds.models import Resource

URL = "http://mailboat-api"


@pytest.fixture
def resource() -> Callable[..., Resource]:
    """resource(kind, name, **spec): a resource in namespace shop; annotations by keyword."""

    def make(kind: str, name: str, *, namespace: str = "shop", annotations: Any = None, **spec: Any) -> Resource:
        metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
        return check.resource({"apiVersion": "mailboat.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})

    return make


@pytest.fixture
def client(resource: Callable[..., Resource]) -> Callable[..., Resource]:
    def make(name: str = "storefront", **spec: Any) -> Resource:
        base = {"senders": ["orders@shop.example.com"], "credentials": {"secretName": "storefront-email"}}
        return resource("EmailClient", name, **{**base, **spec})

    return make


@pytest.fixture
def template(resource: Callable[..., Resource]) -> Callable[..., Resource]:
    def make(name: str = "receipt", **spec: Any) -> Resource:
        base = {"subject": "Receipt {{ order }}", "source": "<p>Order {{ order }}</p>", "example": {"order": "A-1042"}}
        return resource("EmailTemplate", name, **{**base, **spec})

    return make


@pytest.fixture
def provider(resource: Callable[..., Resource]) -> Callable[..., Resource]:
    def make(name: str = "relay", **spec: Any) -> Resource:
        return resource("EmailProvider", name, **(spec or {"inbox": {}}))

    return make


@pytest.fixture(scope="session")
def sealing_key() -> str:
    return seal.new_key()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    made = await engine.pool(dsn, name="test", size=4)
    yield made
    await made.close()


@pytest.fixture
async def declarer_of(pool: asyncpg.Pool, sealing_key: str) -> AsyncIterator[Callable[..., Declarer]]:
    """declarer_of(keys): a declarer with these sealing keys."""
    renderer = Pool(1)

    def make(keys: str = sealing_key) -> Declarer:
        return Declarer(pool, renderer, Sealer(keys), url=URL, actor="test")

    yield make
    await renderer.close()


@pytest.fixture
def declarer(declarer_of: Callable[..., Declarer]) -> Declarer:
    return declarer_of()


@pytest.fixture
def ready() -> Callable[..., tuple[str, str, str]]:
    """ready(outcome, type): a condition's status, reason and message."""

    def find(outcome: Any, kind: str = "Ready") -> tuple[str, str, str]:
        found = next((one for one in outcome.status.conditions if one.type == kind), None)
        return (found.status, found.reason, found.message) if found else ("", "", "")

    return find
