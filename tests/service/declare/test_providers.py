"""EmailProviders in PostgreSQL: sealed, checked, and used by the workers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from mailboat.declare import seal
from mailboat.declare.inputs import Inputs
from mailboat.declare.seal import Sealer
from mailboat.errors import ConfigurationError
from mailboat.providers.inbox import Inbox
from mailboat.providers.records import Directory

NOTHING = Inputs()
PASSWORD = "hunter2-and-more"
LOGIN = Inputs({"login": {"username": "mailboat", "password": PASSWORD}})
RELAY = {
    "smtp": {"host": "127.0.0.1", "port": 1, "tls": "none"},
    "credentials": {"secretRef": {"name": "login"}},
    "limits": {"timeout": "2s"},
}


def everything(query: Any) -> str:
    tables = [row["tablename"] for row in query("select tablename from pg_tables where schemaname = 'public'")]
    return "".join(str([dict(row) for row in query(f"select * from {table}")]) for table in tables)


async def test_a_provider_that_answers_is_ready(declarer: Any, provider: Any, query: Any, ready: Any) -> None:
    outcome = await declarer.apply(provider(), NOTHING)
    assert (outcome.change, outcome.status.kind) == ("created", "inbox")
    assert ready(outcome)[:2] == ("True", "Reconciled")
    assert ready(outcome, "SecretReady")[:2] == ("True", "NoSecretNeeded")
    assert "the inbox in PostgreSQL answers" in ready(outcome, "Reachable")[2]
    assert [tuple(row) for row in query("select namespace, name, kind from providers")] == [("shop", "relay", "inbox")]


async def test_applied_again_nothing_changes(declarer: Any, provider: Any, query: Any) -> None:
    await declarer.apply(provider(**RELAY), LOGIN)
    rows = query("select * from providers")
    second = await declarer.apply(provider(**RELAY), LOGIN)
    assert (second.change, second.events) == ("unchanged", ())
    assert query("select * from providers") == rows


async def test_one_that_does_not_answer_is_recorded_and_tried_again(
    declarer: Any, provider: Any, query: Any, ready: Any
) -> None:
    outcome = await declarer.apply(provider(**RELAY), LOGIN)
    assert outcome.again
    assert ready(outcome)[:2] == ("False", "Unreachable")
    assert ready(outcome, "Reconciling")[0] == "True"
    assert ready(outcome, "SecretReady")[0] == "True"
    assert len(query("select * from providers")) == 1


async def test_a_missing_secret_is_named_and_leaves_the_record_as_it_was(
    declarer: Any, provider: Any, query: Any, ready: Any
) -> None:
    missing = await declarer.apply(provider(**RELAY), NOTHING)
    assert ready(missing)[:2] == ("False", "SecretNotFound")
    assert ready(missing)[2] == "Secret 'login' is not there: make it in namespace shop."
    assert query("select * from providers") == []
    await declarer.apply(provider(**RELAY), LOGIN)
    rows = query("select * from providers")
    await declarer.apply(provider(**RELAY), NOTHING)
    assert query("select * from providers") == rows


async def test_an_incomplete_secret_is_named_without_showing_it(declarer: Any, provider: Any, ready: Any) -> None:
    outcome = await declarer.apply(provider(**RELAY), Inputs({"login": {"password": PASSWORD}}))
    assert ready(outcome)[:2] == ("False", "SecretIncomplete")
    assert ready(outcome)[2] == "credentials: has a password but no username."


async def test_no_secret_is_in_a_row_a_status_or_a_log(
    declarer: Any, provider: Any, query: Any, caplog: pytest.LogCaptureFixture, capsys: Any, pool: Any, sealing_key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = await declarer.apply(provider(**RELAY), LOGIN)
    directory = Directory(pool, {}, unseal=Sealer(sealing_key).open)
    await directory.refresh()
    await directory.close()
    shown = everything(query) + repr(outcome) + msgspec.json.encode(outcome.status).decode() + repr(LOGIN)
    assert PASSWORD not in shown + caplog.text + "".join(capsys.readouterr())


async def test_sealing_keys_can_be_rotated(declarer_of: Any, provider: Any, sealing_key: str, query: Any) -> None:
    await declarer_of().apply(provider(**RELAY), LOGIN)
    new = seal.new_key()
    both = declarer_of(f"{new},{sealing_key}")
    assert (await both.remembered("EmailProvider", "shop", "relay")).secrets == LOGIN.secrets
    assert await both.reseal() == 1
    assert await both.reseal() == 0
    assert (await declarer_of(new).remembered("EmailProvider", "shop", "relay")).secrets == LOGIN.secrets
    with pytest.raises(ConfigurationError, match="MAILBOAT_SEALING_KEY lacks the key"):
        await declarer_of().remembered("EmailProvider", "shop", "relay")


async def test_what_was_sealed_for_one_place_opens_at_no_other(sealing_key: str) -> None:
    sealer = Sealer(sealing_key)
    sealed = sealer.seal({"login": {"password": PASSWORD}}, "EmailProvider shop/relay")
    assert sealed is not None
    assert PASSWORD.encode() not in sealed
    with pytest.raises(ConfigurationError, match="tampered"):
        sealer.open(sealed, "EmailProvider other/relay")
    with pytest.raises(ConfigurationError, match="tampered"):
        sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "EmailProvider shop/relay")


async def test_without_a_sealing_key_secrets_are_refused_and_nothing_else(
    declarer_of: Any, provider: Any, query: Any
) -> None:
    bare = declarer_of("")
    await bare.apply(provider("kept"), NOTHING)
    with pytest.raises(ConfigurationError, match="MAILBOAT_SEALING_KEY is not set"):
        await bare.apply(provider(**RELAY), LOGIN)
    assert [row["name"] for row in query("select name from providers")] == ["kept"]


@pytest.mark.parametrize("key", ["x", "c2hvcnQ=", "not base64 !"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="MAILBOAT_SEALING_KEY is not a key") as refused:
        Sealer(key)
    assert key not in str(refused.value)


# --- the workers' side


@pytest.fixture
async def directory(pool: Any, sealing_key: str) -> Any:
    made = Directory(
        pool, {"inbox": Inbox("inbox", pool), "relay": Inbox("fixed", pool)}, unseal=Sealer(sealing_key).open
    )
    yield made
    await made.close()


def name_of(directory: Directory, namespace: str, name: str) -> str | None:
    line = directory.find(namespace, name)
    return line.provider.kind if line else None


async def test_a_route_means_ones_own_provider_then_an_allowed_one_then_the_settings(
    declarer: Any, resource: Any, directory: Any
) -> None:
    allowed = {"allowedNamespaces": {"names": ["shop"]}}
    smtp = {"smtp": {"host": "127.0.0.1", "port": 1, "tls": "none"}}
    await declarer.apply(resource("EmailProvider", "relay", namespace="default", **smtp, **allowed), NOTHING)
    await declarer.apply(resource("EmailProvider", "common", namespace="default", **smtp), NOTHING)
    await declarer.apply(resource("EmailProvider", "own", inbox={}), NOTHING)
    await directory.refresh()
    assert name_of(directory, "shop", "own") == "inbox"
    assert name_of(directory, "other", "own") is None
    assert name_of(directory, "shop", "relay") == "smtp"
    assert name_of(directory, "other", "relay") == "inbox"  # the settings'
    assert name_of(directory, "default", "common") == "smtp"
    assert name_of(directory, "shop", "common") is None
    assert directory.names == ["default/common", "default/relay", "inbox", "relay", "shop/own"]


async def test_changes_reach_the_workers_by_notification(
    declarer: Any, provider: Any, directory: Any, dsn: str, eventually: Any
) -> None:
    following = asyncio.create_task(directory.follow(dsn))
    await eventually(lambda: directory.names == ["inbox", "relay"])
    await declarer.apply(provider("late"), NOTHING)
    await eventually(lambda: directory.find("shop", "late"))
    await declarer.delete("EmailProvider", "shop", "late")
    await eventually(lambda: not directory.find("shop", "late"))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_replaced_provider_finishes_what_it_is_sending(declarer: Any, resource: Any, directory: Any) -> None:
    def relay(port: int) -> Any:
        return resource("EmailProvider", "busy", smtp={"host": "127.0.0.1", "port": port, "tls": "none"})

    await declarer.apply(relay(1), NOTHING)
    await directory.refresh()
    old = directory.find("shop", "busy")
    async with old.turn():
        await declarer.apply(relay(2), NOTHING)
        await directory.refresh()
        assert directory.find("shop", "busy") is not old
        closing = next(iter(directory._closing))
        await asyncio.sleep(0)
        assert not closing.done()
    await asyncio.wait_for(closing, 5)


async def test_a_record_that_cannot_be_used_leaves_the_last_good_one(
    declarer: Any, provider: Any, directory: Any, query: Any
) -> None:
    await declarer.apply(provider(), NOTHING)
    await directory.refresh()
    good = directory.find("shop", "relay")
    query("""update providers set spec = '{"smtp": {}}', kind = 'smtp'""")
    await directory.refresh()
    assert directory.find("shop", "relay") is good


async def test_an_open_circuit_is_a_condition_while_it_is_open(declarer: Any, provider: Any, query: Any) -> None:
    add = "insert into circuit_changes (provider, state, reason) values ('shop/relay', $1, $2)"

    def circuit(status: Any) -> tuple[str, list[str]]:
        return status.circuit, [one.message for one in status.conditions if one.type == "CircuitOpen"]

    assert await declarer.follow_circuit("shop", "relay") is None, "nobody has declared it"
    assert circuit((await declarer.apply(provider(), NOTHING)).status) == ("closed", [])
    query(add, "open", "454 busy")
    opened = "The circuit is open (454 busy): mail takes the next provider of its route."
    assert circuit(await declarer.follow_circuit("shop", "relay")) == ("open", [opened])
    again = await declarer.apply(provider(), NOTHING)
    assert (again.change, again.events, circuit(again.status)) == ("unchanged", (), ("open", [opened]))
    query(add, "closed", "it answers again")
    closed = await declarer.follow_circuit("shop", "relay")
    assert circuit(closed) == ("closed", [])
    assert [one for one in closed.conditions if one.type == "Ready"] == list(again.status.conditions[:1])
