"""What needs a person, from everywhere, with the page on which it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain

import msgspec

from mailboat.dashboard import parts
from mailboat.dashboard.desk import Desk
from mailboat.dashboard.pages import lasted
from mailboat.dashboard.views.stopped import counts
from mailboat.delivery import providers
from mailboat.errors import ConfigurationError, TemplateFault
from mailboat.providers import registry
from mailboat.registry.folder import Folder

NEAR_QUOTA = 0.9
RANK = ("bad", "held", "warn")  # the worst first

_QUOTAS = """
select c.namespace, c.name, c.quota_monthly as quota, u.accepted from clients c join usage u on u.client_id = c.id
where u.month = date_trunc('month', now() at time zone 'utc')::date and c.quota_monthly > 0
and u.accepted >= c.quota_monthly * $1 order by u.accepted::float8 / c.quota_monthly desc limit 5
"""
_ROUTES = """
select namespace, min(name) as name, route, count(*) as clients from clients
where not suspended and route <> '{}' group by namespace, route order by 1, 2 limit 20
"""
_ENDPOINTS = """
select id, url, paused_at is not null as paused, paused_reason, failures,
    extract(epoch from now() - failing_since)::float8 as seconds
from webhook_endpoints where failing_since is not null order by paused_at nulls last, failing_since limit 5
"""


class Need(msgspec.Struct, frozen=True):
    """One thing: `state` is bad, held or warn; `verb` are the words of the link."""

    state: str
    icon: str
    title: str
    text: str
    link: str
    verb: str


async def all_of(desk: Desk, folder: Folder) -> list[Need]:
    """Everything, the worst first. Raises what `engine.AWAY` names."""
    try:
        fixed = registry.names(desk.settings)
    except ConfigurationError as error:
        text = str(error)
        odd = [
            Need("bad", "providers", "The settings’ providers cannot be read", text, "/ui/providers", "See providers")
        ]
        fixed = []
    else:
        odd = [*await _circuits(desk, fixed), *await _routes(desk, [name for name, _ in fixed])]
    found = chain(
        await _parts(desk),
        await _stopped(desk),
        odd,
        await asyncio.to_thread(_templates, folder),
        await _quotas(desk),
        await _endpoints(desk),
    )
    return sorted(found, key=lambda need: RANK.index(need.state))


async def _parts(desk: Desk) -> list[Need]:
    return [
        Need(check.state, "alert", f"{check.name} needs a look", check.detail, "/ui/welcome", "See the parts")
        for check in await parts.look(desk.pool, desk.settings)
        if check.state in RANK
    ]


async def _stopped(desk: Desk) -> list[Need]:
    stopped, found = await counts(desk), []
    if stopped["dead"]:
        title = f"{stopped['dead']:,} dead letter{'s' * (stopped['dead'] > 1)}"
        text = "Every attempt failed. See why, mend it, and replay them."
        found.append(Need("bad", "dead", title, text, "/ui/dead-letters", "Look and replay"))
    if stopped["held"]:
        text = "They may have been sent already: a person decides."
        found.append(Need("held", "held", f"{stopped['held']:,} held", text, "/ui/held", "Decide"))
    return found


async def _circuits(desk: Desk, fixed: Sequence[tuple[str, str]]) -> list[Need]:
    """Providers that take no mail now."""
    found = []
    for one in await providers.listed(desk.pool, fixed):
        if one["circuit"] == "closed":
            continue
        name = one["name"].removeprefix("default/")
        said = one["history"][0]["reason"] if one["history"] else ""
        text = f"{'A person keeps it out' if one['held_open'] else 'It failed too often'}{': ' * bool(said)}{said}"
        found.append(Need("warn", "open", f"{name} takes no mail", text, "/ui/providers", "See providers"))
    return found


async def _routes(desk: Desk, fixed: Sequence[str]) -> list[Need]:
    """Clients whose route names a provider that is not there."""
    found = []
    for namespace, name, route, clients in await desk.pool.fetch(_ROUTES):
        if missing := await providers.unknown(desk.pool, namespace, route, fixed):
            others = f" and {clients - 1:,} more" if clients > 1 else ""
            title = f"{name}{others}: the route names {' and '.join(missing)}, which is not there"
            text = providers.warning(namespace, missing, route)
            found.append(Need("warn", "clients", title, text, f"/ui/clients/{namespace}/{name}", "Open client"))
    return found


def _templates(folder: Folder) -> list[Need]:
    """Templates of the folder that cannot be read."""
    found = []
    for name in folder.names():
        try:
            folder.load(name)
        except (TemplateFault, OSError) as fault:
            text = f"{fault}. The last good revision stays live."
            found.append(Need("bad", "templates", f"{name} is broken", text, f"/ui/templates/{name}", "See the fault"))
    return found


async def _quotas(desk: Desk) -> list[Need]:
    found = []
    for row in await desk.pool.fetch(_QUOTAS, NEAR_QUOTA):
        share = f"{row['accepted'] / row['quota'] * 100:.0f}\u202f%"
        text = f"{row['accepted']:,} of {row['quota']:,} mails."
        link = f"/ui/clients/{row['namespace']}/{row['name']}"
        found.append(Need("warn", "clients", f"{row['name']}: {share} of its monthly quota", text, link, "Open client"))
    return found


async def _endpoints(desk: Desk) -> list[Need]:
    """Webhook endpoints that do not answer as they should."""
    found = []
    for row in await desk.pool.fetch(_ENDPOINTS):
        if row["paused"]:
            title, text = "A webhook endpoint is paused", f"{row['url']}: {row['paused_reason']}"
        else:
            title = "A webhook endpoint fails"
            text = f"{row['url']} has refused {row['failures']:,} in a row, for {lasted(row['seconds'])}."
        found.append(Need("warn", "webhooks", title, text, f"/ui/webhooks/{row['id']}", "See what it said"))
    return found
