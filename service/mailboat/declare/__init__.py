"""From manifests to Postgres: what a resource asks for, what has to change, and the conditions that come of it."""
