"""Alembic's entry: runs the migrations on the connection that `migrate.upgrade` hands over."""

from alembic import context
from sqlmodel import SQLModel

from mailboat.db import tables  # noqa: F401 - declares the tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
