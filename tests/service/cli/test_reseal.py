"""A sealing key is changed without losing what it sealed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailboat.declare import seal
from mailboat.delivery import outbound
from mailboat.domain import identifier

OLD, NEW = seal.new_key(), seal.new_key()
SECRETS = {"login": {"password": "p4ssword"}}


@pytest.fixture
def reseal(mailboat: Any, dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """reseal(keys): exit code, answer and stderr of `mailboat key reseal` with these keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)

    def call(keys: str) -> tuple[int, Any, str]:
        monkeypatch.setenv("MAILBOAT_SEALING_KEY", keys)
        status, out, err = mailboat("key", "reseal", "--output", "json")
        return status, json.loads(out or "null"), err

    return call


@pytest.fixture
def sealed(query: Any, client: Any) -> dict[str, str]:
    """A secret in each place that has some, sealed with the old key: the place by table."""
    endpoint = identifier.new()
    places = {
        "providers": "EmailProvider shop/relay",
        "declared": "EmailClient shop/web",
        "webhook_endpoints": outbound.place(endpoint),
    }
    values = {table: seal.Sealer(OLD).seal(SECRETS, place) for table, place in places.items()}
    query(
        "insert into providers (namespace, name, kind, spec, sealed) values ('shop', 'relay', 'smtp', '{}', $1)",
        values["providers"],
    )
    query(
        "insert into declared (kind, namespace, name, generation, digest, metadata, spec, status, sealed) "
        "values ('EmailClient', 'shop', 'web', 1, '', '{}', '{}', '{}', $1)",
        values["declared"],
    )
    query(
        "insert into webhook_endpoints (id, client_id, url, sealed) values ($1, $2, 'https://example.com', $3)",
        endpoint,
        client.id,
        values["webhook_endpoints"],
    )
    return places


def test_every_secret_is_sealed_again_and_the_old_key_is_needed_no_more(
    reseal: Any, sealed: dict[str, str], query: Any
) -> None:
    assert reseal(f"{NEW},{OLD}")[:2] == (0, {"secrets": 3, "resealed": 3, "lost": 0})
    for table, place in sealed.items():
        ((kept,),) = query(f"select sealed from {table}")
        assert seal.Sealer(NEW).open(kept, place) == SECRETS
    assert reseal(NEW)[:2] == (0, {"secrets": 3, "resealed": 0, "lost": 0})


def test_a_secret_whose_key_is_gone_is_named_and_the_others_are_sealed(
    reseal: Any, sealed: dict[str, str], query: Any
) -> None:
    gone = seal.Sealer(seal.new_key()).seal(SECRETS, sealed["providers"])
    query("update providers set sealed = $1", gone)
    status, answer, err = reseal(f"{NEW},{OLD}")
    assert (status, answer) == (1, {"secrets": 3, "resealed": 2, "lost": 1})
    assert "EmailProvider shop/relay: MAILBOAT_SEALING_KEY lacks the key" in err
    assert query("select sealed from providers")[0][0] == gone
    assert "p4ssword" not in err


def test_without_a_key_nothing_is_done(reseal: Any, sealed: dict[str, str]) -> None:
    status, _, err = reseal("")
    assert (status, "set MAILBOAT_SEALING_KEY" in err) == (1, True)
