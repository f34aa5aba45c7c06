"""FastAPI's share of the endpoints."""
