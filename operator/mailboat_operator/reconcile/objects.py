"""Between the API server's objects and ours: resources, Secrets, Events."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from mailboat.declare.outcome import LONGEST_MESSAGE, changed, stamp
from mailboat_crds import API_VERSION, check
from mailboat_crds.conditions import CIRCUIT_OPEN, ONLY_WHILE_TRUE, READY
from mailboat_crds.models import KINDS, Condition, EmailClient, Resource

Object = dict[str, Any]
OWN = "operator.mailboat.dev"  # the prefix of what kopf keeps in annotations
CLIENT = "mailboat.dev/client"  # label of a Secret: whose credentials it holds
MANAGER = "mailboat-operator"
NEW_KEY = {"KeyRotated", "KeyLost"}
CLOSED = {"reason": "BreakerClosed", "message": "The circuit is closed: mail takes this provider again."}


class Key(NamedTuple):
    """What is reconciled: always the newest state of the object with this name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def resource_of(body: Object) -> Resource:
    """The typed resource, with the conditions that it has now. Raises check.Invalid.

    What else its status says is ours to find out, and may be another version's.
    """
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    own = {name: text for name, text in annotations.items() if not name.startswith(f"{OWN}/")}
    named = {field: metadata[field] for field in ("name", "namespace", "generation", "uid")}
    found = (body.get("status") or {}).get("conditions") or []
    return check.resource(
        {
            "apiVersion": API_VERSION,
            "kind": body["kind"],
            "metadata": {**named, "labels": metadata.get("labels") or {}, "annotations": own},
            "spec": body.get("spec"),
            "status": {"conditions": found} if found else {},
        }
    )


def conditions_of(body: Object) -> tuple[Condition, ...]:
    """The conditions in a status, for objects that are no valid resource."""
    names = {"type", "status", "reason", "message", "lastTransitionTime"}
    return tuple(
        Condition(
            type=one["type"],
            status=one["status"],
            reason=one["reason"],
            message=one["message"],
            last_transition_time=one["lastTransitionTime"],
            observed_generation=one.get("observedGeneration"),
        )
        for one in (body.get("status") or {}).get("conditions") or []
        if names <= set(one)
    )


def texts(secret: Object) -> dict[str, str]:
    """What a Secret holds, as text; values that are none are left out, as if they were not there."""
    found: dict[str, str] = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found


def is_of(secret: Object, client: EmailClient) -> bool:
    """Whether a Secret is this client's to write. The label outlives a backup, which gives its owner a new uid."""
    metadata = secret["metadata"]
    owners = [owner.get("uid") for owner in metadata.get("ownerReferences") or []]
    return client.metadata.uid in owners or (metadata.get("labels") or {}).get(CLIENT) == client.metadata.name


def secret_of(client: EmailClient, content: Mapping[str, str]) -> Object:
    """The Secret with a client's credentials. It goes when the client goes."""
    metadata = client.metadata
    owner = {
        "apiVersion": API_VERSION,
        "kind": "EmailClient",
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": client.spec.credentials.secret_name,
            "namespace": metadata.namespace,
            "labels": {CLIENT: metadata.name, "app.kubernetes.io/managed-by": MANAGER},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in sorted(content.items())},
    }


def events_of(before: Sequence[Condition], after: Sequence[Condition]) -> list[Condition]:
    """What is worth an event: what Ready says now, what became of the key, a circuit that opened or closed."""
    new = changed(before, after)
    found = [one for one in new if one.type in (READY, CIRCUIT_OPEN) or one.reason in NEW_KEY]
    closed = [one for one in before if one.type == CIRCUIT_OPEN and not any(one.type == CIRCUIT_OPEN for one in after)]
    return found + [msgspec.structs.replace(one, status="False", **CLOSED) for one in closed]


def event_of(body: Object, condition: Condition, instance: str, now: datetime) -> Object:
    """An Event about an object. `instance`: which operator says it."""
    metadata = body["metadata"]
    moment = stamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name'][:63]}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": body["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Normal" if (condition.status == "True") != (condition.type in ONLY_WHILE_TRUE) else "Warning",
        "reason": condition.reason,
        "message": condition.message[:LONGEST_MESSAGE],
        "action": "Reconcile",
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": instance,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def scopes(namespaces: Sequence[str]) -> Sequence[str | None]:
    """Where to list: in each of these namespaces, or once for all."""
    return namespaces or [None]


def path_of(kind: str, namespace: str | None, name: str | None = None) -> str:
    """Where the API server has our resources; None is all of them."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{API_VERSION}{within}/{KINDS[kind].plural}" + (f"/{name}" if name else "")


def core(kind: str, namespace: str | None, name: str | None = None) -> str:
    """The same for core/v1: `secrets`, `configmaps`, `events`."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/api/v1{within}/{kind}" + (f"/{name}" if name else "")
