"""The fence between two operators: a session with an epoch older than the newest leader's cannot write any more.

An operator sets `mailboat.epoch` for its sessions; others have none, and are let through.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

FENCED = ("clients", "client_keys", "client_secrets", "template_heads", "providers", "declared")

STATEMENTS = (
    """
create table operator_fence (
    id boolean primary key default true check (id),
    epoch bigint not null default 0
)""",
    "insert into operator_fence default values",
    """
create function mailboat_fence() returns trigger language plpgsql as $$
declare
    mine bigint := nullif(current_setting('mailboat.epoch', true), '')::bigint;
    newest bigint;
begin
    if mine is not null then
        select epoch into newest from operator_fence for share;
        if newest > mine then
            raise exception 'a newer operator leads' using errcode = 'MB001';
        end if;
    end if;
    return null;
end $$""",
)


def upgrade() -> None:
    """Create everything."""
    for statement in STATEMENTS:
        op.execute(statement)
    for table in FENCED:
        op.execute(
            f"create trigger operator_fence before insert or update or delete on {table} "
            "for each statement execute function mailboat_fence()"
        )
