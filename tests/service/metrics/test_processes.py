"""The numbers of real processes, as Prometheus would read them, while mail goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

BODY = {"to": "ada@example.com", "template": "receipt", "data": {"order": "A-1042"}}
ADMIN = {"Authorization": "Bearer admin-token"}


def scrape(url: str, **headers: str) -> Callable[..., float | None]:
    """value(name, **labels): as it was just now; None when there is no such sample."""
    answer = httpx.get(url, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    found = [sample for family in parsed(answer.text) for sample in family.samples]

    def value(name: str, **labels: str) -> float | None:
        return next((s.value for s in found if s.name == name and labels.items() <= s.labels.items()), None)

    return value


@pytest.fixture
def running(settings_of: Any, start_role: Any, free_port: Any, sink: Any) -> tuple[str, str]:
    """An API and a worker; where their numbers are."""
    api, ports = settings_of(port=free_port()), [free_port(), free_port()]
    start_role("api", settings_of(port=api.port, metrics_port=ports[0]))
    start_role("worker", settings_of(metrics_port=ports[1], smtp_url=sink.url))
    return api.url, f"http://127.0.0.1:{ports[1]}"


def test_numbers_move_when_mail_moves(running: tuple[str, str], client: Any, until: Any, sink: Any) -> None:
    api, worker = running
    for key in ("a", "a", "b"):
        headers = {**client.headers, "Idempotency-Key": key}
        assert httpx.post(f"{api}/v1/send", json=BODY, headers=headers).status_code == 202
    assert httpx.post(f"{api}/v1/send", json={}, headers=client.headers).status_code == 422
    assert httpx.post(f"{api}/v1/send", json=BODY).status_code == 401
    messages = [BODY, {**BODY, "template": "no-such"}]
    batch = {"mode": "each", "messages": messages}
    assert httpx.post(f"{api}/v1/batch", json=batch, headers=client.headers).json()["accepted"] == 1
    value = scrape(f"{api}/metrics")
    assert value("mailboat_accepted_total", lane="normal") == 3
    assert value("mailboat_repeated_total") == 1
    assert value("mailboat_refused_total", code="missing_field") == 1
    assert value("mailboat_refused_total", code="unauthorized") == 1
    assert value("mailboat_refused_total", code="template_not_found") == 1
    assert value("mailboat_accept_seconds_count") == 3
    assert value("mailboat_accept_batch_messages_sum") == 4
    assert value("mailboat_build_info") == 1
    assert value("mailboat_workers") == 1
    assert value("mailboat_attempts_total") is None, "that is the worker's"

    until(lambda: len(sink.taken) == 3)
    until(lambda: scrape(f"{worker}/metrics")("mailboat_attempts_total", provider="smtp", outcome="sent") == 3)
    value = scrape(f"{worker}/metrics")
    assert value("mailboat_send_seconds_count", provider="smtp") == 3
    assert value("mailboat_rendered_total", engine="jinja", outcome="rendered") == 3
    assert value("mailboat_deliver_batch_messages_sum") == 3
    assert value("mailboat_book_batch_messages_sum") == 3
    assert (value("mailboat_heartbeat_age_seconds") or 0) < 30


def test_a_backlog_is_told_with_its_age_and_who_stopped(
    settings_of: Any, start_role: Any, free_port: Any, client: Any, query: Any
) -> None:
    port = free_port()
    api = start_role("api", settings_of(port=free_port(), metrics_port=port)).url
    raw = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello", "lane": "bulk"}
    for _ in range(5):
        assert httpx.post(f"{api}/v1/send", json=raw, headers=client.headers).status_code == 202
    query("update queue set run_at = now() - interval '90 seconds'")
    query("update queue set state = 5 where id = (select id from queue order by id limit 1)")
    query("update queue set state = 7 where id = (select id from queue order by id desc limit 1)")
    value = scrape(f"http://127.0.0.1:{port}/metrics")
    assert value("mailboat_queue_messages", lane="bulk") == 3
    assert value("mailboat_queue_messages", lane="high") == 0
    assert 90 <= (value("mailboat_queue_age_seconds", lane="bulk") or 0) < 200
    assert value("mailboat_queue_age_seconds", lane="high") == 0
    assert value("mailboat_stopped_messages", state="dead") == 1
    assert value("mailboat_stopped_messages", state="held") == 1
    assert value("mailboat_backlog_up") == 1


def test_a_thousand_templates_and_clients_make_no_more_than_a_hundred_series(
    settings_of: Any, start_role: Any, free_port: Any, query: Any
) -> None:
    query(
        "insert into template_heads (namespace, name, digest, origin) "
        "select 'default', 'template-' || n, md5(n::text), 'folder' from generate_series(1, 1000) n"
    )
    query(
        "insert into clients (namespace, name, senders) select 'shop', 'c' || n, '{}' from generate_series(1, 1000) n"
    )
    api = start_role("api", settings_of(port=free_port())).url
    text = httpx.get(f"{api}/metrics").text
    assert scrape(f"{api}/metrics")("mailboat_templates") == 1000
    assert text.count("mailboat_template_info{") == 100
    assert len(text.splitlines()) < 250


def test_the_apis_own_port_wants_the_admin_token_unless_only_this_machine_can_ask(
    settings_of: Any, start_role: Any, free_port: Any
) -> None:
    here = start_role("api", settings_of(port=free_port())).url
    assert httpx.get(f"{here}/metrics").status_code == 200
    assert httpx.get(f"{here}/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 401
    public = settings_of(port=free_port(), host="0.0.0.0")
    start_role("api", public)
    url = f"http://127.0.0.1:{public.port}/metrics"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.get(url, headers=ADMIN).status_code == 200
    closed = settings_of(port=free_port(), host="0.0.0.0", admin_token="")
    start_role("api", closed)
    assert httpx.get(f"http://127.0.0.1:{closed.port}/metrics").status_code == 404


@pytest.mark.parametrize("role", ["api", "worker", "watcher"])
def test_each_role_says_that_it_lives_and_when_it_is_ready(
    role: str, settings_of: Any, start_role: Any, free_port: Any, own_postgres: Any, until: Any
) -> None:
    port = free_port()
    lost = own_postgres.dsn()
    own_postgres.stop()
    settings = settings_of(port=free_port(), metrics_port=port, database_url=lost)
    start_role(role, settings, ready=False)
    url = f"http://127.0.0.1:{port}"

    def answers(path: str) -> int | None:
        try:
            return httpx.get(f"{url}{path}", timeout=20).status_code
        except httpx.TransportError:
            return None

    until(lambda: answers("/livez") == 200)
    assert answers("/readyz") == 503
    assert answers("/metrics") == 200
    assert answers("/elsewhere") == 404
    assert httpx.post(url).status_code == 405


@pytest.mark.parametrize("role", ["worker", "watcher"])
def test_a_role_whose_postgres_answers_is_ready(
    role: str, settings_of: Any, start_role: Any, free_port: Any, until: Any
) -> None:
    port = free_port()
    start_role(role, settings_of(metrics_port=port), ready=role == "worker")

    def answer() -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code
        except httpx.TransportError:
            return None

    until(lambda: answer() == 200)


def test_a_port_that_is_taken_ends_the_process_with_a_remedy(settings_of: Any, start_role: Any) -> None:
    async def serve() -> tuple[int, str]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        role = start_role("worker", settings_of(metrics_port=port), ready=False)
        code = await asyncio.to_thread(role.wait)
        server.close()
        return code, role.log.read_text()

    code, said = asyncio.run(serve())
    assert code == 2
    assert "MAILBOAT_METRICS_PORT" in said
