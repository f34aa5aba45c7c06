"""What became of the mail of each quarter of an hour, counted once instead of with every look at the overview."""

from alembic import op

revision = "0009"
down_revision = "0008"

TALLIES = """
create table tallies (
    at timestamptz,
    word text,
    messages int not null,
    counted_at timestamptz not null default now(),
    primary key (at, word)
)
"""
# The few events that say why mail did not arrive.
LOST = """
create index events_lost on events (received_at) where event in ('bounced', 'rejected', 'complained')
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(TALLIES)
    op.execute(LOST)
