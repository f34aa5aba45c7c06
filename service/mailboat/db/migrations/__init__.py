"""Alembic migrations: expand first, contract in a later release, so that old and new code run side by side."""
