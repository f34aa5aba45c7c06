"""The declared side: resources as they were applied, providers, and which key belongs to which Secret."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
create table declared (
    kind text not null,
    namespace text not null,
    name text not null,
    generation bigint not null,
    digest text not null,
    metadata json not null,
    spec json not null,
    status json not null,
    sealed bytea,
    created_at timestamptz not null default now(),
    applied_at timestamptz not null default now(),
    primary key (kind, namespace, name)
);

create table providers (
    namespace text not null,
    name text not null,
    kind text not null,
    spec json not null,
    sealed bytea,
    allowed text[] not null default '{}'::text[],
    updated_at timestamptz not null default now(),
    primary key (namespace, name)
);

create table client_secrets (
    client_id integer primary key references clients (id) on delete cascade,
    secret_name text not null,
    key text not null,
    secret_check text not null,
    previous_key text,
    rotated_at timestamptz not null default now(),
    rotate_request text not null default ''
);

alter table template_heads add column shared boolean not null default false;
create index template_heads_shared on template_heads (name) where shared
"""

TRIGGERS = (
    """
create function mailboat_provider_changed() returns trigger language plpgsql as $$
declare changed record;
begin
    changed := coalesce(new, old);
    perform pg_notify('mailboat_providers', changed.namespace || '/' || changed.name);
    return null;
end $$""",
    """
create trigger provider_changed after insert or update or delete on providers
    for each row execute function mailboat_provider_changed()""",
)


def upgrade() -> None:
    """Create everything."""
    for statement in (*TABLES.split(";\n"), *TRIGGERS):
        op.execute(statement)
