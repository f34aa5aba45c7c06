"""The checks of `mailboat doctor` on secrets, circuits and webhooks: whom we trust, and who trusts us."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from mailboat.cli.findings import Finding, fail, ok, warn
from mailboat.declare import reseal
from mailboat.declare.seal import Sealer
from mailboat.delivery import providers
from mailboat.errors import ConfigurationError
from mailboat.providers import records
from mailboat.providers.records import Record
from mailboat.settings import Settings
from mailboat.webhooks import endpoints, registry

_FAILING = """
select count(*) filter (where paused_at is not null) as paused,
    count(*) filter (where paused_at is null and failing_since < now() - interval '1 hour') as failing
from webhook_endpoints
"""


async def sealing(chosen: Settings, pool: asyncpg.Pool) -> AsyncIterator[Finding]:
    """Whether there is a key, and whether it opens what is sealed."""
    try:
        found, stale, lost = await reseal.look(pool, Sealer(chosen.sealing_key))
    except ConfigurationError as error:
        yield fail("sealing key", str(error), "correct MAILBOAT_SEALING_KEY")
        return
    for each in lost:
        yield fail("sealing key", each, "put the key that it was sealed with behind the first, or apply it again")
    if not chosen.sealing_key and not found:
        yield warn(
            "sealing key",
            "there is none: providers with credentials and webhook endpoints are refused",
            "set MAILBOAT_SEALING_KEY to `openssl rand -base64 32`",
        )
    elif stale:
        yield warn("sealing key", f"{stale} of {found} secrets are sealed with an older key", "mailboat key reseal")
    elif not lost:
        yield ok("sealing key", f"opens each of {found} secrets" if found else "nothing is sealed yet")


async def circuits(pool: asyncpg.Pool, fixed: list[tuple[str, str]]) -> AsyncIterator[Finding]:
    """Which providers no mail goes through, and since when."""
    stuck = [one for one in await providers.listed(pool, fixed) if one["circuit"] != "closed"]
    for one in stuck:
        check, last = f"circuit {one['name']}", one["history"][0] if one["history"] else None
        said = f"{one['circuit']} since {last['at']:%Y-%m-%d %H:%M} UTC: {last['reason']}" if last else one["circuit"]
        if one["held_open"]:
            yield warn(check, f"held open by a person, {said}", f"mailboat provider close {one['name']}")
        elif one["circuit"] == "open":
            yield fail(check, said, f"mailboat provider test {one['name']}; it is tried again by itself")
        else:
            yield warn(check, said, "wait: it is being tried")
    if not stuck:
        yield ok("circuits", "all are closed: mail goes through every provider")


async def webhooks(chosen: Settings, pool: asyncpg.Pool) -> AsyncIterator[Finding]:
    """Whether providers can tell what became of mail, and whether clients hear of it."""
    try:
        if chosen.providers_file:
            endpoints.read(chosen.providers_file, simulators=chosen.simulators)
    except ConfigurationError as error:
        yield fail("webhook secrets", str(error), "correct the file")
    for record in await records.load(pool, Sealer(chosen.sealing_key).open):
        if record.kind in registry.KINDS:
            yield _expects(chosen, record)
    row = await pool.fetchrow(_FAILING)
    if row["paused"] or row["failing"]:
        yield warn(
            "webhook endpoints",
            f"{row['failing']} of clients have failed for an hour, {row['paused']} are paused",
            "their clients see why: mailboat webhook list; mailboat webhook resume ID",
        )
    else:
        yield ok("webhook endpoints", "none of the clients' fails")


def _expects(chosen: Settings, record: Record) -> Finding:
    check = f"webhook secrets {record.namespace}/{record.name}"
    try:
        item = records.webhook(record)
        if item is None:
            return warn(
                check,
                "none: nothing is heard of bounces and complaints",
                f"set spec.webhook.secretRef, as in docs/providers/{record.kind}.md",
            )
        endpoints.of_manifest(item, record.place, simulators=chosen.simulators)
    except ConfigurationError as error:
        return fail(check, str(error), "correct its Secret, and apply it again")
    return ok(check, f"it may call {chosen.url}/webhooks/{record.kind}/{record.reported}")
