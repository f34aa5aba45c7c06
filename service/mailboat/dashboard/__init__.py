"""The dashboard: the pages of `/ui`, and the inbox for programs. `router` and `api_router` are all that others call."""

from mailboat.dashboard.api import api_router
from mailboat.dashboard.feed import Feed
from mailboat.dashboard.routes import router

__all__ = ["Feed", "api_router", "router"]
