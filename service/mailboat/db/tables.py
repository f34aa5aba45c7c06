"""The tables, as SQLModel. The admin side reads and writes through these; the hot path has its own SQL (`statements`).

The migrations create the tables; a test compares them with these models.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, REAL
from sqlmodel import Field, SQLModel


def _text(nullable: bool = False, default: str | None = None) -> Any:
    return Column(Text, nullable=nullable, server_default=default)


def _texts() -> Any:
    return Column(ARRAY(Text), nullable=False, server_default=text("'{}'::text[]"))


def _moment(nullable: bool = False, now: bool = True) -> Any:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _small(default: int | None = None) -> Any:
    return Column(SmallInteger, nullable=False, server_default=None if default is None else text(str(default)))


class Client(SQLModel, table=True):
    """An application that may send."""

    __tablename__ = "clients"
    __table_args__ = (UniqueConstraint("namespace", "name"),)
    id: int | None = Field(default=None, sa_column_args=[Identity()], primary_key=True)
    namespace: str = Field(default="default", sa_column=_text(default="default"))
    name: str = Field(sa_column=_text())
    suspended: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    senders: list[str] = Field(default_factory=list, sa_column=_texts())
    templates: list[str] = Field(default_factory=list, sa_column=_texts())
    route: list[str] = Field(default_factory=list, sa_column=_texts())
    lane: int = Field(default=1, sa_column=_small(1))
    on_uncertain: str = Field(default="resend", sa_column=_text(default="resend"))
    rate_per_minute: int = Field(default=600, sa_column_kwargs={"server_default": text("600")})
    rate_burst: int = Field(default=100, sa_column_kwargs={"server_default": text("100")})
    quota_monthly: int | None = Field(default=None, sa_type=BigInteger)
    retry_attempts: int | None = Field(default=None, sa_type=SmallInteger)
    retry_base_seconds: float | None = Field(default=None, sa_type=REAL)
    retry_cap_seconds: float | None = Field(default=None, sa_type=REAL)
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class ClientKey(SQLModel, table=True):
    """A key pair: `key` is public, of the secret only the bcrypt hash is kept."""

    __tablename__ = "client_keys"
    key: str = Field(sa_column=Column(Text, primary_key=True))
    client_id: int = Field(sa_column=Column(ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True))
    secret_hash: str = Field(sa_column=_text())
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    expires_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))
    revoked_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))


class Usage(SQLModel, table=True):
    """Messages accepted per client and calendar month (UTC)."""

    __tablename__ = "usage"
    client_id: int = Field(primary_key=True)
    month: date = Field(primary_key=True)
    accepted: int = Field(sa_type=BigInteger)


class Idempotency(SQLModel, table=True):
    """Idempotency keys and the message each one made. `digest` is the sha256 of the request body.

    A table of its own, since a unique index over the partitions of `messages` would have to contain the id.
    """

    __tablename__ = "idempotency"
    client_id: int = Field(primary_key=True)
    key: str = Field(sa_column=Column(Text, primary_key=True))
    message_id: UUID
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime | None = Field(default=None, sa_column=_moment())


class Message(SQLModel, table=True):
    """One accepted mail: the row is the mail. Written once; partitioned by month over the id, a UUIDv7."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_client", "client_id", text("id DESC")),
        # messages_recipient, whose class of operators Alembic cannot compare, stands in migration 0008 alone.
        Index("messages_several", "id", postgresql_where=text('envelope::text LIKE \'%"email"%"email"%"email"%\'')),
        {"postgresql_partition_by": "RANGE (id)"},
    )
    id: UUID = Field(primary_key=True)
    client_id: int
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    template: str | None = Field(default=None, sa_column=_text(nullable=True))
    revision: str | None = Field(default=None, sa_column=_text(nullable=True))
    locale: str | None = Field(default=None, sa_column=_text(nullable=True))
    envelope: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    content: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    headers: dict[str, str] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    tags: dict[str, str] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    metadata_: dict[str, Any] | None = Field(default=None, sa_column=Column("metadata", JSON, nullable=True))
    attachments: list[Any] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    traceparent: str = Field(sa_column=_text())


class StoredAttachment(SQLModel, table=True):
    """The content of attachments, each kept once however many messages carry it. `digest` is its sha256."""

    __tablename__ = "attachments"
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    used_at: datetime | None = Field(default=None, sa_column=_moment())


class Queued(SQLModel, table=True):
    """Where each message is on its road: narrow, and updated at every step. `state` and `lane`: see `states`.

    `attempts` counts for ever; those made before a replay are `forgiven`.
    """

    __tablename__ = "queue"
    __table_args__ = (
        Index("queue_scheduled", "run_at", postgresql_where=text("state = 0")),
        Index("queue_queued", "lane", "run_at", postgresql_where=text("state = 1")),
        Index("queue_owned", "owner", postgresql_where=text("state = 2")),
        Index("queue_stopped", "client_id", "id", postgresql_where=text("state IN (4, 5, 7)")),
        Index("queue_stopped_state", "state", "id", postgresql_where=text("state IN (4, 5, 7)")),
        # Events come home by our own mark; this is for those that bring the provider's id alone.
        Index(
            "queue_provider_message",
            "provider_message_id",
            postgresql_where=text("provider_message_id IS NOT NULL AND provider <> 'inbox'"),
        ),
        # Room for updates on the same page, and vacuum soon: every message is three updates.
        {
            "postgresql_with": {
                "fillfactor": "75",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_cost_delay": "0",
            }
        },
    )
    id: UUID = Field(primary_key=True)
    client_id: int
    lane: int = Field(sa_column=_small())
    state: int = Field(sa_column=_small())
    attempts: int = Field(default=0, sa_column=_small(0))
    forgiven: int = Field(default=0, sa_column=_small(0))
    run_at: datetime | None = Field(default=None, sa_column=_moment())
    owner: int | None = None
    provider: str | None = Field(default=None, sa_column=_text(nullable=True))
    provider_message_id: str | None = Field(default=None, sa_column=_text(nullable=True))
    error: str | None = Field(default=None, sa_column=_text(nullable=True))
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class Attempt(SQLModel, table=True):
    """One try to hand one message to one provider. `recipients` is set where they fared differently."""

    __tablename__ = "attempts"
    __table_args__ = ({"postgresql_partition_by": "RANGE (message_id)"},)
    message_id: UUID = Field(primary_key=True)
    number: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    provider: str | None = Field(default=None, sa_column=_text(nullable=True))
    outcome: str = Field(sa_column=_text())
    detail: str = Field(sa_column=_text(default=""))
    recipients: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    started_at: datetime | None = Field(default=None, sa_column=_moment())
    seconds: float = Field(default=0, sa_column=Column(REAL, nullable=False, server_default=text("0")))


class WebhookReceipt(SQLModel, table=True):
    """A verified delivery of a provider's webhook, as it came. `key` is the same in each repeat; where the signature
    does not cover the body, `digest` binds the two."""

    __tablename__ = "webhook_receipts"
    __table_args__ = (
        UniqueConstraint("kind", "key"),
        Index("webhook_receipts_waiting", "id", postgresql_where=text("parsed_at IS NULL")),
        Index("webhook_receipts_received", "received_at"),
    )
    id: int | None = Field(default=None, sa_column_args=[Identity()], sa_type=BigInteger, primary_key=True)
    provider: str = Field(sa_column=_text())
    kind: str = Field(sa_column=_text())
    key: str = Field(sa_column=_text())
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime | None = Field(default=None, sa_column=_moment())
    parsed_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))
    fault: str | None = Field(default=None, sa_column=_text(nullable=True))


class ReportedEvent(SQLModel, table=True):
    """One fact about one recipient, as a provider reported it; see `domain.events`. `recipient` is an address's key.

    `client_id` is set once the message was found; until then it is looked for again at `look_at`.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("provider", "event_id", "recipient"),
        Index("events_message", "message_id", postgresql_where=text("message_id IS NOT NULL")),
        Index("events_unmatched", "look_at", postgresql_where=text("look_at IS NOT NULL")),
        Index("events_received", "received_at"),
        Index(
            "events_lost",
            "received_at",
            postgresql_where=text("event = ANY (ARRAY['bounced'::text, 'rejected'::text, 'complained'::text])"),
        ),
    )
    id: int | None = Field(default=None, sa_column_args=[Identity()], sa_type=BigInteger, primary_key=True)
    provider: str = Field(sa_column=_text())
    event_id: str = Field(sa_column=_text())
    recipient: str = Field(sa_column=_text())
    event: str = Field(sa_column=_text())
    bounce: str | None = Field(default=None, sa_column=_text(nullable=True))
    word: str = Field(sa_column=_text())
    reason: str = Field(sa_column=_text())
    raw: Any = Field(default=None, sa_column=Column(JSON, nullable=True))
    message_id: UUID | None = None
    client_id: int | None = None
    provider_message_id: str = Field(sa_column=_text())
    at: datetime = Field(sa_column=_moment(now=False))
    received_at: datetime | None = Field(default=None, sa_column=_moment())
    look_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class Suppression(SQLModel, table=True):
    """An address that must not be mailed again, and why. `client_id` 0: by no client. `address` is an address's key."""

    __tablename__ = "suppressions"
    __table_args__ = (Index("suppressions_client", "client_id", "address"),)
    address: str = Field(sa_column=Column(Text, primary_key=True))
    client_id: int = Field(primary_key=True)
    reason: str = Field(sa_column=_text())
    source: str = Field(sa_column=_text())
    detail: str = Field(sa_column=_text(default=""))
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    expires_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))


class TemplateHead(SQLModel, table=True):
    """Which revision a template's name stands for. `origin`: folder (kept by the watcher) or resource.

    What is `shared` may be used from every namespace. `instead_of`: the revision that was rolled back from.
    """

    __tablename__ = "template_heads"
    __table_args__ = (Index("template_heads_shared", "name", postgresql_where=text("shared")),)
    namespace: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    digest: str = Field(sa_column=_text())
    origin: str = Field(sa_column=_text())
    shared: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    instead_of: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=text("''")))
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class TemplateHistory(SQLModel, table=True):
    """Which revisions a name has stood for; a trigger keeps the newest."""

    __tablename__ = "template_history"
    __table_args__ = (Index("template_history_name", "namespace", "name", "id"),)
    id: int | None = Field(default=None, sa_column_args=[Identity()], sa_type=BigInteger, primary_key=True)
    namespace: str = Field(sa_column=_text())
    name: str = Field(sa_column=_text())
    digest: str = Field(sa_column=_text())
    origin: str = Field(sa_column=_text())
    at: datetime | None = Field(default=None, sa_column=_moment())


class TemplateSource(SQLModel, table=True):
    """The sources of a revision, kept as long as a message may still need them."""

    __tablename__ = "template_sources"
    digest: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=_text())
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime | None = Field(default=None, sa_column=_moment())


class Declared(SQLModel, table=True):
    """A resource as it was applied last: spec and status, never a secret in the clear.

    `digest` is of all that went into it; `sealed` are the Secrets that it refers to (`declare.seal`).
    """

    __tablename__ = "declared"
    kind: str = Field(sa_column=Column(Text, primary_key=True))
    namespace: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    generation: int = Field(sa_type=BigInteger)
    digest: str = Field(sa_column=_text())
    metadata_: dict[str, Any] = Field(sa_column=Column("metadata", JSON, nullable=False))
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    status: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    applied_at: datetime | None = Field(default=None, sa_column=_moment())


class ProviderRecord(SQLModel, table=True):
    """A declared provider, as the workers use it. `allowed` are the other namespaces that may route to it."""

    __tablename__ = "providers"
    namespace: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    kind: str = Field(sa_column=_text())
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    allowed: list[str] = Field(default_factory=list, sa_column=_texts())
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class ClientSecret(SQLModel, table=True):
    """Which of a client's keys is in its Secret, and which one was before. `rotate_request` was acted on last.

    `secret_check` is the beginning of the sha256 of the key's secret, which has 256 random bits.
    """

    __tablename__ = "client_secrets"
    client_id: int = Field(sa_column=Column(ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True))
    secret_name: str = Field(sa_column=_text())
    key: str = Field(sa_column=_text())
    secret_check: str = Field(sa_column=_text())
    previous_key: str | None = Field(default=None, sa_column=_text(nullable=True))
    rotated_at: datetime | None = Field(default=None, sa_column=_moment())
    rotate_request: str = Field(default="", sa_column=_text(default=""))


class CircuitChange(SQLModel, table=True):
    """One change of a provider's circuit breaker. What is `manual` was decided by a person, and holds."""

    __tablename__ = "circuit_changes"
    __table_args__ = (
        Index("circuit_changes_provider", "provider", "id"),
        Index("circuit_changes_manual", "provider", "id", postgresql_where=text("manual")),
    )
    id: int | None = Field(default=None, sa_column_args=[Identity()], sa_type=BigInteger, primary_key=True)
    provider: str = Field(sa_column=_text())
    state: str = Field(sa_column=_text())
    manual: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    reason: str = Field(sa_column=_text())
    at: datetime | None = Field(default=None, sa_column=_moment())


class WebhookEndpoint(SQLModel, table=True):
    """A URL that a client wants told of events; no `events`: of all. `origin`: api or resource.

    `sealed` holds the current secret and the one before, which signs too until `old_secret_until`. `failures` counts
    since the last success, `failing_since` is the first of them.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (UniqueConstraint("client_id", "url"),)
    id: UUID = Field(primary_key=True)
    client_id: int = Field(sa_column=Column(ForeignKey("clients.id", ondelete="CASCADE"), nullable=False))
    url: str = Field(sa_column=_text())
    events: list[str] = Field(default_factory=list, sa_column=_texts())
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    old_secret_until: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))
    origin: str = Field(default="api", sa_column=_text(default="api"))
    failures: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    failing_since: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))
    paused_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, now=False))
    paused_reason: str | None = Field(default=None, sa_column=_text(nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class WebhookDelivery(SQLModel, table=True):
    """One fact on its way to one endpoint. `state`: 0 waits, 1 its endpoint is paused, 2 sending, 3 delivered, 5 given
    up. `tries` is the log: when, the answer's status, what went wrong, how long it took."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("webhook_deliveries_due", "endpoint_id", "run_at", postgresql_where=text("state = 0")),
        Index("webhook_deliveries_owned", "owner", postgresql_where=text("state = 2")),
        Index("webhook_deliveries_log", "endpoint_id", text("created_at DESC"), text("id DESC")),
        Index("webhook_deliveries_created", "created_at"),
    )
    id: UUID = Field(primary_key=True)
    endpoint_id: UUID = Field(sa_column=Column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False))
    event: str = Field(sa_column=_text())
    body: Any = Field(sa_column=Column(JSON, nullable=False))
    state: int = Field(default=0, sa_column=_small(0))
    attempts: int = Field(default=0, sa_column=_small(0))
    run_at: datetime | None = Field(default=None, sa_column=_moment())
    owner: int | None = None
    tries: list[Any] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb"))
    )
    created_at: datetime | None = Field(default=None, sa_column=_moment())
    updated_at: datetime | None = Field(default=None, sa_column=_moment())


class Tally(SQLModel, table=True):
    """How many messages accepted in the quarter of an hour from `at` on are what `word` says: `delivery.tallies`."""

    __tablename__ = "tallies"
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    word: str = Field(sa_column=Column(Text, primary_key=True))
    messages: int
    counted_at: datetime | None = Field(default=None, sa_column=_moment())


class OperatorFence(SQLModel, table=True):
    """One row: the epoch of the operator that leads. Sessions of one before it cannot write (migration 0004)."""

    __tablename__ = "operator_fence"
    id: bool = Field(default=True, sa_column=Column(Boolean, primary_key=True, server_default=text("true")))
    epoch: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class Worker(SQLModel, table=True):
    """One life of one worker process. Its heartbeat is the lease on everything that it owns."""

    __tablename__ = "workers"
    id: int | None = Field(default=None, sa_column_args=[Identity()], primary_key=True)
    name: str = Field(sa_column=_text())
    started_at: datetime | None = Field(default=None, sa_column=_moment())
    heartbeat_at: datetime | None = Field(default=None, sa_column=_moment())


class Audit(SQLModel, table=True):
    """Who changed what through the admin side."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, sa_column_args=[Identity()], sa_type=BigInteger, primary_key=True)
    at: datetime | None = Field(default=None, sa_column=_moment())
    actor: str = Field(sa_column=_text())
    action: str = Field(sa_column=_text())
    subject: str = Field(sa_column=_text())
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class InboxMail(SQLModel, table=True):
    """Mail that the provider `inbox` kept instead of sending it."""

    __tablename__ = "inbox"
    __table_args__ = (Index("inbox_received", text("received_at DESC"), text("message_id DESC")),)
    message_id: UUID = Field(primary_key=True)
    client: str = Field(sa_column=_text())
    sender: str = Field(sa_column=_text())
    recipients: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    subject: str = Field(sa_column=_text())
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime | None = Field(default=None, sa_column=_moment())
