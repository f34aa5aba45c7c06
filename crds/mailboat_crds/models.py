"""The kinds as models. Names, types, enums, bounds and defaults are those of the YAML, which has the descriptions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, field

SET = {"list": "set"}
"""Marks a list whose entries all differ."""

DNS = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
DNS_WORDS = "lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=DNS, description=DNS_WORDS)]
Key = Annotated[
    str,
    Meta(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="letters, digits, '-', '_' and '.'"),
]
Duration = Annotated[
    str,
    Meta(min_length=2, max_length=7, pattern=r"^[1-9][0-9]*[smh]$", description="a duration such as 90s, 30m or 24h"),
]
Endpoint = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=512,
        pattern=r"^https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?$",
        description="an address such as http://localhost:8025, without user and query",
    ),
]
Sender = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=320,
        pattern=r"^(\*|\*@[^@\s<>]+|[^@\s<>]+@[^@\s<>]+|[^<>\r\n]*<[^@\s<>]+@[^@\s<>]+>)$",
        description="an address, Name <address>, *@domain, *@*.domain or *",
    ),
]
TemplatePattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9*?\[\]!._-]+$",
        description="a template's name, or a pattern such as order-*",
    ),
]
RouteEntry = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=68,
        pattern=r"^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?(=[0-9]{1,4})?$",
        description="a provider's name, or name=weight with a weight of 0 to 9999",
    ),
]
Url = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=2048,
        pattern=r"^https?://[^\s/?#@]+([/?][^\s#]*)?$",
        description="an https:// address without user and fragment",
    ),
]
Namespace = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|\*)$",
        description="a namespace, or * for all",
    ),
]
Source = Annotated[str, Meta(max_length=200_000)]
Event = Literal[
    "sent",
    "failed",
    "deferred",
    "delivered",
    "bounced",
    "rejected",
    "complained",
    "opened",
    "clicked",
    "unsubscribed",
]


class Model(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of a manifest."""


class KeyRef(Model, frozen=True):
    """One key of a Secret or ConfigMap in the same namespace."""

    name: Name
    key: Key


class SecretRef(Model, frozen=True):
    """A whole Secret in the same namespace."""

    name: Name


# --- EmailClient


class RateLimit(Model, frozen=True):
    per_minute: Annotated[int, Meta(ge=1, le=10_000_000)] = 600
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 100


class Quota(Model, frozen=True):
    monthly: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] | None = None


class Rotation(Model, frozen=True):
    interval: Duration | None = None
    overlap: Duration = "24h"


class ClientCredentials(Model, frozen=True):
    secret_name: Name
    rotation: Rotation = field(default_factory=Rotation)


class Webhook(Model, frozen=True):
    url: Url
    secret_ref: KeyRef
    events: Annotated[tuple[Event, ...], Meta(max_length=20, extra=SET)] = ()


class EmailClientSpec(Model, frozen=True):
    senders: Annotated[tuple[Sender, ...], Meta(min_length=1, max_length=100, extra=SET)]
    credentials: ClientCredentials
    suspended: bool = False
    rate_limit: RateLimit = field(default_factory=RateLimit)
    quota: Quota | None = None
    templates: Annotated[tuple[TemplatePattern, ...], Meta(max_length=500, extra=SET)] = ()
    route: Annotated[tuple[RouteEntry, ...], Meta(max_length=10, extra=SET)] = ()
    lane: Literal["high", "normal", "bulk"] = "normal"
    on_uncertain: Literal["resend", "hold"] = "resend"
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=10, extra={"list": "map", "keys": ["url"]})] = ()
    deletion_policy: Literal["Retain", "Delete"] = "Retain"


# --- EmailTemplate


class Tailwind(Model, frozen=True):
    theme: Annotated[str, Meta(max_length=50_000)] | None = None


class EmailTemplateSpec(Model, frozen=True):
    engine: Literal["jinja", "react"] = "jinja"
    subject: Annotated[str, Meta(min_length=1, max_length=2000)] | None = None
    source: Annotated[str, Meta(min_length=1, max_length=200_000)] | None = None
    source_ref: KeyRef | None = None
    text: Source | None = None
    files: Annotated[dict[str, Source], Meta(max_length=100)] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    example: dict[str, Any] = field(default_factory=dict)
    tailwind: Tailwind | None = None
    translations: Annotated[
        dict[str, Annotated[dict[str, Annotated[str, Meta(max_length=10_000)]], Meta(max_length=1000)]],
        Meta(max_length=100),
    ] = field(default_factory=dict)
    shared: bool = False


# --- EmailProvider


class CaRef(Model, frozen=True):
    name: Name
    key: Key = "ca.crt"


class DkimKeyRef(Model, frozen=True):
    name: Name
    key: Key = "private-key"


Domain = Annotated[
    str,
    Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", description="a domain"),
]


class Dkim(Model, frozen=True):
    domain: Domain
    secret_ref: DkimKeyRef
    selector: Annotated[
        str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    ] = "mailboat"


class Smtp(Model, frozen=True):
    host: Annotated[
        str,
        Meta(
            min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:-]+$", description="the name or address of a server"
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    tls: Literal["none", "auto", "starttls", "implicit"] = "auto"
    ca_secret_ref: CaRef | None = None
    dkim: Dkim | None = None


class Ses(Model, frozen=True):
    region: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=32,
            pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]$",
            description="a region such as eu-west-1",
        ),
    ]
    configuration_set: (
        Annotated[
            str,
            Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="letters, digits, '-' and '_'"),
        ]
        | None
    ) = None
    endpoint: Endpoint | None = None
    sns_origin: Endpoint | None = None


class SendGrid(Model, frozen=True):
    region: Literal["global", "eu"] = "global"
    endpoint: Endpoint | None = None


class Mailgun(Model, frozen=True):
    domain: Domain
    region: Literal["us", "eu"] = "us"
    endpoint: Endpoint | None = None


class Postmark(Model, frozen=True):
    message_stream: Annotated[
        str,
        Meta(min_length=1, max_length=30, pattern=r"^[a-z0-9-]+$", description="lower-case letters, digits and '-'"),
    ] = "outbound"
    endpoint: Endpoint | None = None


class Inbox(Model, frozen=True):
    pass


class ProviderCredentials(Model, frozen=True):
    secret_ref: SecretRef


class Limits(Model, frozen=True):
    max_per_second: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    max_concurrent: Annotated[int, Meta(ge=1, le=1000)] = 20
    timeout: Annotated[
        str,
        Meta(
            min_length=2,
            max_length=8,
            pattern=r"^[1-9][0-9]*(ms|s|m)$",
            description="a duration such as 500ms, 10s or 1m",
        ),
    ] = "30s"


class CircuitBreaker(Model, frozen=True):
    failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    window: Duration = "60s"
    cooldown: Duration = "120s"


class ProviderWebhook(Model, frozen=True):
    secret_ref: SecretRef


class AllowedNamespaces(Model, frozen=True):
    names: Annotated[tuple[Namespace, ...], Meta(max_length=500, extra=SET)] = ()


PROVIDER_KINDS = ("smtp", "ses", "sendgrid", "mailgun", "postmark", "inbox")


class EmailProviderSpec(Model, frozen=True):
    smtp: Smtp | None = None
    ses: Ses | None = None
    sendgrid: SendGrid | None = None
    mailgun: Mailgun | None = None
    postmark: Postmark | None = None
    inbox: Inbox | None = None
    credentials: ProviderCredentials | None = None
    limits: Limits = field(default_factory=Limits)
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    webhook: ProviderWebhook | None = None
    allowed_namespaces: AllowedNamespaces = field(default_factory=AllowedNamespaces)

    @property
    def kind(self) -> str:
        return next(kind for kind in PROVIDER_KINDS if getattr(self, kind) is not None)


# --- Status


Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Condition(Model, frozen=True, omit_defaults=True):
    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    last_transition_time: Moment
    reason: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Meta(max_length=32768)]
    observed_generation: Annotated[int, Meta(ge=0)] | None = None


class Status(Model, frozen=True, omit_defaults=True):
    """What all kinds say about themselves."""

    observed_generation: Annotated[int, Meta(ge=0)] | None = None
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16, extra={"list": "map", "keys": ["type"]})] = ()
    last_handled_reconcile_at: Annotated[str, Meta(max_length=256)] | None = None


class KeyStatus(Model, frozen=True, omit_defaults=True):
    id: Annotated[str, Meta(max_length=64)]
    state: Literal["active", "overlap"]
    created_at: Moment
    expires_at: Moment | None = None


class UsageStatus(Model, frozen=True, omit_defaults=True):
    month: Annotated[str, Meta(max_length=7)]
    accepted: int
    remaining: int | None = None


class EmailClientStatus(Status, frozen=True, omit_defaults=True):
    keys: Annotated[tuple[KeyStatus, ...], Meta(max_length=20, extra={"list": "map", "keys": ["id"]})] = ()
    usage: UsageStatus | None = None
    last_handled_rotate_at: Annotated[str, Meta(max_length=256)] | None = None


class EmailTemplateStatus(Status, frozen=True, omit_defaults=True):
    revision: Annotated[str, Meta(max_length=12)] | None = None
    digest: Annotated[str, Meta(max_length=64)] | None = None
    rendered_bytes: int | None = None
    warnings: Annotated[tuple[Annotated[str, Meta(max_length=1000)], ...], Meta(max_length=20)] = ()


class EmailProviderStatus(Status, frozen=True, omit_defaults=True):
    kind: Annotated[str, Meta(max_length=16)] | None = None
    circuit: Literal["closed", "open", "half-open"] | None = None
    last_event_at: Moment | None = None


# --- Resources


class Metadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What we read of an object's metadata."""

    name: str
    namespace: str = "default"
    generation: int | None = None
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class EmailClient(Model, frozen=True):
    metadata: Metadata
    spec: EmailClientSpec
    status: EmailClientStatus = field(default_factory=EmailClientStatus)


class EmailTemplate(Model, frozen=True):
    metadata: Metadata
    spec: EmailTemplateSpec
    status: EmailTemplateStatus = field(default_factory=EmailTemplateStatus)


class EmailProvider(Model, frozen=True):
    metadata: Metadata
    spec: EmailProviderSpec
    status: EmailProviderStatus = field(default_factory=EmailProviderStatus)


Resource: TypeAlias = EmailClient | EmailTemplate | EmailProvider


class Column(msgspec.Struct, frozen=True):
    """A column of `get`: its name, where its value is, and whether it is shown only on demand (priority 1)."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


def _status_of(condition: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


_READY = Column("Ready", _status_of("Ready"))
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_MESSAGE = Column("Message", _status_of("Ready", "message"), priority=1)


class Kind(msgspec.Struct, frozen=True):
    """A kind by its names, its columns and its models."""

    name: str
    plural: str
    short: str
    columns: tuple[Column, ...]
    model: type[EmailClient] | type[EmailTemplate] | type[EmailProvider]
    spec: type[Model]
    status: type[Status]


_CLIENT_COLUMNS = (
    _READY,
    Column("Suspended", ".spec.suspended", "boolean"),
    Column("Used", ".status.usage.accepted", "integer"),
    Column("Quota", ".spec.quota.monthly", "integer"),
    Column("Secret", ".spec.credentials.secretName"),
    _AGE,
    _MESSAGE,
)
_TEMPLATE_COLUMNS = (
    _READY,
    Column("Engine", ".spec.engine"),
    Column("Revision", ".status.revision"),
    Column("Bytes", ".status.renderedBytes", "integer"),
    Column("Shared", ".spec.shared", "boolean"),
    _AGE,
    _MESSAGE,
)
_PROVIDER_COLUMNS = (
    _READY,
    Column("Kind", ".status.kind"),
    Column("Reachable", _status_of("Reachable")),
    Column("Circuit", ".status.circuit"),
    _AGE,
    _MESSAGE,
)

_ALL = (
    Kind("EmailClient", "emailclients", "emc", _CLIENT_COLUMNS, EmailClient, EmailClientSpec, EmailClientStatus),
    Kind(
        "EmailTemplate",
        "emailtemplates",
        "emt",
        _TEMPLATE_COLUMNS,
        EmailTemplate,
        EmailTemplateSpec,
        EmailTemplateStatus,
    ),
    Kind(
        "EmailProvider",
        "emailproviders",
        "emp",
        _PROVIDER_COLUMNS,
        EmailProvider,
        EmailProviderSpec,
        EmailProviderStatus,
    ),
)
KINDS = {kind.name: kind for kind in _ALL}


def kind_of(resource: Resource) -> str:
    return type(resource).__name__


def seconds(duration: str) -> float:
    """`90s`, `30m`, `24h` or `500ms` in seconds."""
    number = duration.rstrip("smh")
    return int(number) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[duration[len(number) :]]
