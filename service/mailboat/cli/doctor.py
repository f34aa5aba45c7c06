"""`mailboat doctor`: look at a whole installation, say what is wrong and what to do. It changes nothing."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import asyncpg
import click
import msgspec

from mailboat import settings
from mailboat.cli import checks, declared, dns_checks, findings, trust_checks, valkey
from mailboat.cli.findings import Finding
from mailboat.db import engine
from mailboat.errors import ConfigurationError
from mailboat.providers import registry
from mailboat.settings import Settings
from mailboat.telemetry import configure_logs

ASKED = ("migrations", "partitions", "clock", "workers", "queue", "sealing key", "circuits", "webhook endpoints")
"""What the database is asked about."""


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`; DATABASE_URL and REDIS_URL name servers elsewhere.",
)
@click.option(
    "--nameserver", default="", metavar="HOST[:PORT]", help="Whom to ask about DNS.  [default: as this machine]"
)
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor(data: Path, nameserver: str, form: str) -> int:
    """Check settings, servers, workers, providers with their circuits, secrets and webhooks, containment, templates,
    disk, and the DNS of sender domains.

    A line a check: ok, warn, fail or skip, and what to do. The exit code is 1 if something failed.
    """
    configure_logs("error", "doctor")  # what the parts warn of is said by the findings
    chosen = settings.load({**os.environ, **_of_folder(data)})
    found = asyncio.run(_report(chosen, data, nameserver, form))
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 1 if any(finding.level == "fail" for finding in found) else 0


def _of_folder(data: Path) -> dict[str, str]:
    """What a running `mailboat up` on this folder knows."""
    found = declared.of_folder(data)
    if "DATABASE_URL" in found and not os.environ.get("REDIS_URL"):
        found["REDIS_URL"] = valkey.url((data / "run").resolve())
    return found


async def _report(chosen: Settings, data: Path, nameserver: str, form: str) -> list[Finding]:
    """Every finding; people see each as soon as it is known."""
    found = []
    async with aclosing(_examine(chosen, data, nameserver)) as examined:
        async for finding in examined:
            found.append(finding)
            if form == "table":
                click.echo(findings.line(finding))
    return found


async def _examine(chosen: Settings, data: Path, nameserver: str) -> AsyncGenerator[Finding]:
    pool = await engine.pool(chosen.database_url, name="mailboat-doctor", size=2)
    try:
        database = [finding async for finding in checks.postgres(pool)]
        reachable = all(finding.level != "fail" for finding in database)
        for part in (
            checks.settings(chosen),
            _known(database),
            _of_database(pool, chosen, nameserver) if reachable else _unknown(),
            checks.hints(chosen.redis_url),
            checks.providers(chosen, pool, reachable),
            checks.containment(),
            checks.templates(chosen.templates),
            checks.disk(_places(chosen, data)),
        ):
            async for finding in part:
                yield finding
    finally:
        await asyncio.wait_for(pool.close(), 5)


async def _known(found: list[Finding]) -> AsyncIterator[Finding]:
    for finding in found:
        yield finding


async def _unknown() -> AsyncIterator[Finding]:
    for check in (*ASKED, "dns"):
        yield findings.skip(check, "postgres does not answer")


async def _of_database(pool: asyncpg.Pool, chosen: Settings, nameserver: str) -> AsyncIterator[Finding]:
    """All that is asked of a database that answers. One that lacks what is asked for is not migrated."""
    try:
        for part in (
            checks.schema(pool),
            checks.clock(pool),
            checks.queue(pool, chosen.lease_seconds),
            trust_checks.sealing(chosen, pool),
            trust_checks.circuits(pool, _fixed(chosen)),
            trust_checks.webhooks(chosen, pool),
            _dns(pool, chosen, nameserver),
        ):
            async for finding in part:
                yield finding
    except checks.REFUSALS as error:
        yield findings.fail("database", f"it refuses: {error or type(error).__name__}", "mailboat migrate")


def _fixed(chosen: Settings) -> list[tuple[str, str]]:
    """The providers of the settings; none where they are wrong, which another check says."""
    try:
        return registry.names(chosen)
    except ConfigurationError:
        return []


async def _dns(pool: asyncpg.Pool, chosen: Settings, nameserver: str) -> AsyncIterator[Finding]:
    signatures = [dns_checks.Signature(*pair) for pair in await checks.signed_domains(pool)]
    if chosen.dkim_domain:
        own = dns_checks.Signature(chosen.dkim_domain.lower(), chosen.dkim_selector, chosen.dkim_key_file)
        signatures.insert(0, own)
    domains = await checks.sender_domains(pool)
    try:
        resolver = dns_checks.Dns(nameserver)
    except dns_checks.NoDns as error:
        yield findings.skip("dns", str(error))
        return
    async for finding in dns_checks.check(resolver, domains, signatures):
        yield finding


def _places(chosen: Settings, data: Path) -> list[Path]:
    """The folders that Mailboat writes to, those that are there."""
    places = [Path(chosen.dist)] if chosen.dist else []
    return [*places, *([data] if data.is_dir() else []), Path(tempfile.gettempdir())]
