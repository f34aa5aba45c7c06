"""REST: the hot endpoint in front, FastAPI behind it."""
