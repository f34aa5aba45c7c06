"""Alembic's entry: runs the migrations on the connection that `migrate.upgrade` hands over."""

from alembic import context

from mailboat.db import tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=tables.SQLModel.metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
