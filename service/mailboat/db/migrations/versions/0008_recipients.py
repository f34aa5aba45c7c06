"""A whole address leads to its mail among millions, for next to nothing while mail is accepted: summaries of blocks."""

from alembic import op

revision = "0008"
down_revision = "0007"

# Tells for 32 pages of mail whether an address may be in them; the pages that are written now are simply read.
RECIPIENT = """
create index messages_recipient on messages
using brin ((lower(envelope -> 'to' -> 0 ->> 'email')) text_bloom_ops) with (pages_per_range = 32, autosummarize = on)
"""
# The few that have a second recipient, and those whose sender wants answers elsewhere.
SEVERAL = """create index messages_several on messages (id) where envelope::text like '%"email"%"email"%"email"%'"""


def upgrade() -> None:
    """Create everything."""
    op.execute(RECIPIENT)
    op.execute(SEVERAL)
