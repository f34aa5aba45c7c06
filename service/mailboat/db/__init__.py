"""Postgres: connections, tables, the hot path's statements and the migrations."""
