"""Conditions by name, and the reasons that stand in them."""

from __future__ import annotations

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
"""On all kinds. The last two are there only while they are true."""

CREDENTIALS_READY = "CredentialsReady"
SUSPENDED = "Suspended"
QUOTA_EXCEEDED = "QuotaExceeded"
ROUTE_INCOMPLETE = "RouteIncomplete"
SOURCE_VALID = "SourceValid"
SCHEMA_VALID = "SchemaValid"
PUBLISHED = "Published"
SECRET_READY = "SecretReady"  # noqa: S105 - a condition's name
REACHABLE = "Reachable"
CIRCUIT_OPEN = "CircuitOpen"

OF_KIND = {
    "EmailClient": (READY, CREDENTIALS_READY, SUSPENDED, QUOTA_EXCEEDED, ROUTE_INCOMPLETE, RECONCILING, STALLED),
    "EmailTemplate": (READY, SOURCE_VALID, SCHEMA_VALID, PUBLISHED, RECONCILING, STALLED),
    "EmailProvider": (READY, SECRET_READY, REACHABLE, CIRCUIT_OPEN, RECONCILING, STALLED),
}
"""Every condition of a kind, in the order in which they are shown."""

MEANINGS = {
    READY: "True: all of the newest spec is in force. Else the message says what is wrong and what to do.",
    CREDENTIALS_READY: "The key in the client's Secret works.",
    SUSPENDED: "The client may not send. Only there while it is true.",
    QUOTA_EXCEEDED: "The month's quota is used up. Only there while it is true.",
    ROUTE_INCOMPLETE: "The route names a provider that is not there. Only there while it is true.",
    SOURCE_VALID: "The sources compile and render the example; else the message has file, line and column.",
    SCHEMA_VALID: "The schema is a JSON Schema, and the example fits it.",
    PUBLISHED: "A revision is live; the message says which one.",
    SECRET_READY: "Every Secret that the spec names is there and has what is needed.",
    REACHABLE: "The provider answered and accepted the credentials.",
    CIRCUIT_OPEN: "Mail takes the next provider of its route. Only there while it is true.",
    RECONCILING: "It is being tried again without anybody's help. Only there while it is true.",
    STALLED: "It waits for somebody to change something. Only there while it is true.",
}

ONLY_WHILE_TRUE = frozenset({RECONCILING, STALLED, SUSPENDED, QUOTA_EXCEEDED, ROUTE_INCOMPLETE, CIRCUIT_OPEN})

ROTATE_REQUESTED_AT = "mailboat.dev/rotate-requested-at"
RECONCILE_REQUESTED_AT = "mailboat.dev/reconcile-requested-at"
"""Annotations: any new value asks for it."""

REASONS = {
    "Reconciled": "All of the spec is in force.",
    "SpecInvalid": "The spec says something that only Mailboat can tell is wrong; the message names the field.",
    "DatabaseAway": "PostgreSQL did not answer; it is tried again.",
    "OperatorMisconfigured": "A setting of the operator is missing or wrong; the message names it.",
    "SecretTaken": "The Secret of spec.credentials is there and was not made for this client; it is left as it is.",
    "KeyIssued": "The Secret has a key that works.",
    "KeyRotated": "The Secret has a new key; the one before ends after the overlap.",
    "KeyLost": "The Secret is gone or has been changed, and a new key could not be put there yet.",
    "Suspended": "spec.suspended is true.",
    "QuotaUsed": "The month's quota is used up.",
    "ProviderNotFound": "No EmailProvider that the client may use has this name; mail takes the others of the route.",
    "SecretNotFound": "A Secret that the spec names is not there.",
    "SecretIncomplete": "A Secret that the spec names lacks a key, or holds something unusable.",
    "SecretsRead": "Every Secret that the spec names is there and complete.",
    "NoSecretNeeded": "The spec names no Secret.",
    "SourceNotFound": "The ConfigMap of spec.sourceRef, or its key, is not there.",
    "SourceBroken": "The sources do not compile, or not render the example; the message has file, line and column.",
    "SourceRendered": "The sources compile, and the example renders.",
    "RenderUnavailable": "No render process could be had; it is tried again.",
    "SchemaBroken": "spec.schema is not a JSON Schema, or the example does not fit it.",
    "SchemaSound": "spec.schema is a JSON Schema, and the example fits it.",
    "NoSchema": "There is no spec.schema: any data is accepted.",
    "RevisionLive": "Messages are rendered with the newest revision.",
    "OlderRevisionLive": "The newest sources are broken; messages are rendered with the last good revision.",
    "NotPublished": "No revision has been good so far; messages cannot use the template.",
    "Answered": "The provider answered and accepted our credentials.",
    "Unreachable": "The provider did not answer.",
    "Refused": "The provider answered and refuses us.",
    "NotChecked": "The provider was not asked.",
    "BreakerOpen": "Too many calls failed; mail takes the next provider of its route.",
}
"""Every reason, and what it means."""

_ANY = ("Reconciled", "SpecInvalid", "DatabaseAway", "OperatorMisconfigured")
REASONS_OF = {
    "EmailClient": (
        *_ANY,
        "SecretNotFound",
        "SecretIncomplete",
        "ProviderNotFound",
        "SecretTaken",
        "KeyIssued",
        "KeyRotated",
        "KeyLost",
        "Suspended",
        "QuotaUsed",
    ),
    "EmailTemplate": (
        *_ANY,
        "SourceNotFound",
        "SourceBroken",
        "SourceRendered",
        "RenderUnavailable",
        "SchemaBroken",
        "SchemaSound",
        "NoSchema",
        "RevisionLive",
        "OlderRevisionLive",
        "NotPublished",
    ),
    "EmailProvider": (
        *_ANY,
        "SecretNotFound",
        "SecretIncomplete",
        "SecretsRead",
        "NoSecretNeeded",
        "Answered",
        "Unreachable",
        "Refused",
        "NotChecked",
        "BreakerOpen",
    ),
}
"""The reasons that a kind's conditions may have."""
