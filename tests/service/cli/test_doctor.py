"""`mailboat doctor` on installations that are sound, and on some that are not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailboat.cli import checks, trust_checks
from mailboat.cli.dns_checks import Dns, Signature, check, public_key
from mailboat.cli.findings import Finding
from mailboat.declare import seal
from mailboat.render import confine
from mailboat.settings import Settings, variable

Report = dict[str, dict[str, str]]


@pytest.fixture
def zone(aside: Any) -> Iterator[dict[str, list[str]]]:
    """TXT records by name, served by a DNS server of our own at `zone["@"][0]`; other names do not exist."""
    records: dict[str, list[str]] = {}

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            question = dns.message.from_wire(data)
            name = question.question[0].name
            answer = dns.message.make_response(question)
            if found := records.get(name.to_text(omit_final_dot=True)):
                texts = [f'"{text}"' for text in found]
                answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", "TXT", texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.transport.sendto(answer.to_wire(), address)

    async def serve() -> Any:
        return await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))

    transport, _ = aside.run(serve())
    records["@"] = [f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"]
    yield records
    aside.loop.call_soon_threadsafe(transport.close)


@pytest.fixture
def examine(zone: dict[str, list[str]], tmp_path: Path) -> Callable[..., tuple[int, Report]]:
    """examine(settings): the exit code, and what was found by the name of each check."""

    def examine(settings: Settings) -> tuple[int, Report]:
        chosen = {variable(f): str(getattr(settings, f)) for f in Settings.__struct_fields__ if getattr(settings, f)}
        command = [sys.executable, "-P", "-m", "mailboat", "doctor", "--nameserver", zone["@"][0]]
        done = subprocess.run(
            [*command, "--output", "json"], env={**os.environ, **chosen}, cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr.decode()
        return done.returncode, {each["check"]: each for each in json.loads(done.stdout)}

    return examine


def test_a_sound_installation_has_nothing_that_failed(
    examine: Any,
    settings_of: Any,
    start_role: Any,
    new_client: Any,
    templates: Path,
    zone: dict[str, list[str]],
    sink: Any,
) -> None:
    new_client(senders=["Northwind <orders@shop.example.com>", "*@shop.example.com"])
    zone["shop.example.com"] = ["v=spf1 include:_spf.example.net ~all", "something else"]
    zone["_dmarc.example.com"] = ["v=DMARC1; p=quarantine; rua=mailto:a@example.com"]
    (templates / "hello.html.j2").write_text("---\nsubject: Hi\nexample: {name: Ada}\n---\n<p>{{ name }}</p>\n")
    settings = settings_of(smtp_url=sink.url)
    start_role("worker", settings)
    code, found = examine(settings)
    assert (code, [each for each in found.values() if each["level"] == "fail"]) == (0, [])
    for name in (
        "postgres",
        "migrations",
        "partitions",
        "clock",
        "workers",
        "queue high",
        "valkey",
        "valkey eviction",
    ):
        assert found[name]["level"] == "ok", found[name]
    assert found["templates"]["detail"] == "1 render with their example: hello"
    assert "example" in found["template receipt"]["remedy"]
    assert "sink ESMTP" in found["provider smtp"]["detail"]
    assert found["spf shop.example.com"]["level"] == "ok"
    assert found["dmarc shop.example.com"]["detail"] == "p=quarantine at _dmarc.example.com"
    assert found["dkim shop.example.com"]["level"] == "skip"


def test_each_thing_that_is_wrong_is_named_with_its_remedy(
    examine: Any, settings_of: Any, client: Any, query: Any, templates: Path, zone: dict[str, list[str]], free_port: Any
) -> None:
    (templates / "broken.html.j2").write_text("---\nexample: {a: 1}\n---\n{% if %}")
    query("update alembic_version set version_num = '0001'")
    query("drop table attempts cascade")
    query("create table attempts (message_id uuid)")
    query(
        "insert into queue (id, client_id, lane, state, run_at) select gen_random_uuid(), $1, 1, s, now() - interval "
        "'1 hour' from unnest('{1,5,7}'::int[]) s",
        client.id,
    )
    zone["shop.example.com"] = ["v=spf1 +all", "v=spf1 -all"]
    code, found = examine(settings_of(smtp_url=f"smtp://127.0.0.1:{free_port()}?tls=none", admin_token=""))
    assert code == 1
    levels = {check: each["level"] for check, each in found.items()}
    wrong = {
        "settings admin": "warn",
        "migrations": "fail",
        "partitions": "fail",
        "workers": "fail",
        "queue normal": "fail",
        "dead": "warn",
        "held": "warn",
        "provider smtp": "fail",
        "template broken": "fail",
        "spf shop.example.com": "fail",
        "dmarc shop.example.com": "warn",
    }
    assert {check: levels.get(check) for check in wrong} == wrong
    assert all(each["remedy"] for each in found.values() if each["level"] in ("warn", "fail"))


def test_secrets_circuits_and_webhooks_are_looked_at(
    examine: Any, settings_of: Any, query: Any, client: Any, free_port: Any
) -> None:
    old, new = seal.new_key(), seal.new_key()
    for name, key in (("stale", old), ("lost", seal.new_key())):
        query(
            "insert into providers (namespace, name, kind, spec, sealed) values ('shop', $1, 'smtp', $2, $3)",
            name,
            f'{{"smtp": {{"host": "127.0.0.1", "port": {free_port()}}}}}',
            seal.Sealer(key).seal({"login": {"password": "p4ssword"}}, f"EmailProvider shop/{name}"),
        )
    query(
        "insert into providers (namespace, name, kind, spec) values ('shop', 'deaf', 'postmark', '{\"postmark\": {}}')"
    )
    for name, manual in (("shop/stale", False), ("shop/lost", True)):
        query(
            "insert into circuit_changes (provider, state, manual, reason) values ($1, 'open', $2, '6 of 10 failed')",
            name,
            manual,
        )
    query(
        "insert into webhook_endpoints (id, client_id, url, sealed, failing_since) "
        "values (gen_random_uuid(), $1, 'https://example.com', $2, now() - interval '2 hours')",
        client.id,
        b"x" * 40,
    )
    code, found = examine(settings_of(sealing_key=f"{new},{old}"))
    assert code == 1
    assert found["circuit shop/stale"]["level"] == "fail"
    assert "6 of 10 failed" in found["circuit shop/stale"]["detail"]
    assert found["circuit shop/lost"]["level"] == "warn"
    assert found["circuit shop/lost"]["remedy"] == "mailboat provider close shop/lost"
    assert found["webhook secrets shop/deaf"]["remedy"].endswith("docs/providers/postmark.md")
    assert found["webhook endpoints"]["detail"].startswith("1 of clients have failed for an hour")
    assert found["sealing key"] == {
        "check": "sealing key",
        "level": "warn",
        "detail": "1 of 3 secrets are sealed with an older key",
        "remedy": "mailboat key reseal",
    }


async def test_a_secret_that_no_key_opens_and_no_key_at_all_are_told_apart(pool: Any, settings_of: Any) -> None:
    async def findings(key: str) -> list[tuple[str, str]]:
        found = [finding async for finding in trust_checks.sealing(settings_of(sealing_key=key), pool)]
        return [(finding.level, finding.remedy) for finding in found]

    key = seal.new_key()
    assert await findings("") == [("warn", "set MAILBOAT_SEALING_KEY to `openssl rand -base64 32`")]
    assert await findings(key) == [("ok", "")]
    assert [level for level, _ in await findings("x")] == ["fail"]
    sealed = seal.Sealer(key).seal({"a": {"b": "c"}}, "EmailProvider default/relay")
    await pool.execute("insert into providers values ('default', 'relay', 'smtp', '{}', $1)", sealed)
    assert await findings(key) == [("ok", "")]
    for other in (seal.new_key(), ""):
        assert [level for level, _ in await findings(other)] == ["fail"]


def test_without_postgres_what_needs_it_is_skipped_and_the_rest_is_looked_at(
    examine: Any, settings_of: Any, own_postgres: Any
) -> None:
    lost = own_postgres.dsn()
    own_postgres.stop()
    code, found = examine(settings_of(database_url=lost))
    assert code == 1
    assert found["postgres"]["level"] == "fail"
    assert found["migrations"]["level"] == found["dns"]["level"] == "skip"
    assert found["valkey"]["level"] == found["templates"]["level"] == "ok"


def test_an_empty_database_is_told_to_migrate(examine: Any, settings_of: Any, database: Any) -> None:
    with database(template="template1") as empty:
        code, found = examine(settings_of(database_url=empty))
    assert code == 1
    assert found["migrations"]["remedy"] == "mailboat migrate"


def test_valkey_that_is_away_is_a_warning_since_mail_goes_on(examine: Any, settings_of: Any, free_port: Any) -> None:
    _, found = examine(settings_of(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    assert found["valkey"]["level"] == "warn"


async def test_each_wall_around_render_processes_is_named_and_what_its_lack_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(confine.WALLS, "seccomp", lambda: "Operation not permitted")
    monkeypatch.setitem(confine.WALLS, "landlock", lambda: "")
    seccomp, landlock = [finding async for finding in checks.containment()]
    assert (seccomp.check, seccomp.level) == ("containment seccomp", "warn")
    assert seccomp.detail.startswith("missing (Operation not permitted): a template that broke out")
    assert "RuntimeDefault" in seccomp.remedy
    assert (landlock.check, landlock.level, landlock.remedy) == ("containment landlock", "ok", "")


async def test_a_react_template_is_tried_with_its_own_example(tmp_path: Path) -> None:
    mail = "export default function Mail({ order }) {\n  return <p>{order.id.length}</p>;\n}\n"
    (tmp_path / "good.tsx").write_text(mail + "Mail.PreviewProps = { order: { id: 'A-1' } };")
    (tmp_path / "bad.tsx").write_text(mail + "Mail.PreviewProps = { order: {} };")
    (tmp_path / "bare.tsx").write_text(mail)
    found = {finding.check: finding async for finding in checks.templates(str(tmp_path))}
    assert found["templates"].detail == "1 render with their example: good"
    assert (found["template bad"].level, found["template bare"].level) == ("fail", "warn")


async def test_the_dkim_key_in_dns_is_compared_with_ours(zone: dict[str, list[str]], tmp_path: Path) -> None:
    key = tmp_path / "dkim.pem"
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*pem))
    record = public_key(str(key))
    signed = [Signature("example.com", "s1", str(key))]

    async def finding() -> Finding:
        found = {each.check: each async for each in check(Dns(zone["@"][0]), ["shop.example.com"], signed)}
        return found["dkim shop.example.com"]

    assert record in (await finding()).remedy
    zone["s1._domainkey.example.com"] = [record]
    assert (await finding()).level == "ok"
    zone["s1._domainkey.example.com"] = ["v=DKIM1; k=ed25519; p=AAAA"]
    assert "is not that of" in (await finding()).detail
    zone["s1._domainkey.example.com"] = ["v=DKIM1; p="]
    assert "revoked" in (await finding()).detail


def test_without_dns_its_checks_are_skipped_with_the_reason(
    examine: Any, settings_of: Any, client: Any, zone: dict[str, list[str]], free_port: Any
) -> None:
    zone["@"] = [f"127.0.0.1:{free_port()}"]
    _, found = examine(settings_of())
    assert found["dns"]["level"] == "skip"
    assert "shop.example.com" in found["dns"]["detail"]
