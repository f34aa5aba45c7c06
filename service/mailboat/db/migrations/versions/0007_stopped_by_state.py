"""Stopped messages of every client in the order of their ids, and how many there are, without looking at each row."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create everything."""
    op.execute("create index queue_stopped_state on queue (state, id) where state in (4, 5, 7)")
