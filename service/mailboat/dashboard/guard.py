"""Who may look, and act: without a login a browser on this machine; with one, whoever signed in; acts by our own pages.

A page of a foreign site can point a name of its own at 127.0.0.1 (DNS rebinding) and would then read the dashboard as
its own; it cannot make the browser say `Host: localhost`. It can send forms to localhost, but not without saying where
they come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What changes nothing although it is no GET, by the path of its route: the only acts that a viewer has.
HARMLESS = frozenset({"/ui/login", "/ui/logout", "/ui/templates/{name}/preview"})
_LOOPBACK = re.compile(r"(?:(?:[a-z0-9-]+\.)*localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


def refusal(method: str, headers: Mapping[str, str], *, anywhere: bool = False) -> str | None:
    """Why this request is refused, or None. `headers` are looked up in lower case. `anywhere`: under any name."""
    host = headers.get("host", "")
    if not anywhere and not _LOOPBACK.fullmatch(host):
        return (
            f"It is open without a login for this machine only, under a name such as localhost, 127.0.0.1 or [::1]; "
            f"this request asked for {host or 'no host'!r}. Open it under one of those names."
        )
    if method not in SAFE and not _is_ours(host, headers):
        return "Only the dashboard's own pages may change anything, and this request did not come from one."
    return None


def needs_admin(method: str, path: str) -> bool:
    """Whether the route at this path changes anything by this method. `path`: as the route has it, {} included."""
    return method not in SAFE and path not in HARMLESS


def _is_ours(host: str, headers: Mapping[str, str]) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return headers.get("origin", "").lower() in (f"http://{host}".lower(), f"https://{host}".lower())
