"""The API as a process: how it starts, what it does while its servers are away, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

BODY = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello"}

# Serves in this process and asks itself, so that it can tell what has been imported by then.
WHAT_IS_LOADED = """
import asyncio, json, sys
from mailboat.api import main
from mailboat.settings import load

HEAVY = ("asyncpg", "fastapi", "sqlalchemy", "opentelemetry.sdk.trace")

async def ask(settings, method, path, headers="", body=""):
    reader, writer = await asyncio.open_connection("127.0.0.1", settings.port)
    writer.write(f"{method} {path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n{headers}\\r\\n{body}".encode())
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    return status

async def ask_when_it_listens(settings, *request):
    while True:
        try:
            return await ask(settings, *request)
        except OSError:
            await asyncio.sleep(0.01)

async def work():
    settings, headers, body = load(), sys.argv[1], sys.argv[2]
    serving = asyncio.create_task(main._serve(settings))
    for request in (("GET", "/livez"), ("GET", "/readyz"), ("POST", "/v1/send", headers, body),
                    ("GET", "/v1/messages", headers)):
        status = await ask_when_it_listens(settings, *request)
        heavy = [name for name in HEAVY if name in sys.modules]
        print(json.dumps([request[1], status, heavy]), flush=True)
    serving.cancel()

asyncio.run(work())
"""


@pytest.fixture
def send(client: Any) -> Any:
    """send(url, **headers): the answer to one POST /v1/send."""

    def send(url: str, **headers: str) -> httpx.Response:
        return httpx.post(f"{url}/v1/send", json=BODY, headers=client.headers | headers, timeout=30)

    return send


def status(url: str) -> int:
    return httpx.get(url, timeout=30).status_code


def test_nothing_heavy_is_loaded_before_somebody_needs_it(settings_of, client, free_port):
    settings = settings_of(port=free_port())
    body = json.dumps(BODY)
    headers = "".join(f"{name}: {value}\r\n" for name, value in client.headers.items())
    environment = {
        "PATH": "",
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "MAILBOAT_PORT": str(settings.port),
        "MAILBOAT_TEMPLATES": settings.templates,
    }
    argv = [sys.executable, "-P", "-c", WHAT_IS_LOADED, f"{headers}Content-Length: {len(body)}\r\n", body]
    said = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=30)
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["/livez", 200],
        ["/readyz", 200],
        ["/v1/send", 202],
        ["/v1/messages", 200],
    ], said.stderr
    livez, _, sent, listed = (line[2] for line in lines)
    assert livez == []
    assert sent == ["asyncpg"]
    assert "fastapi" in listed
    assert "opentelemetry.sdk.trace" not in listed


@pytest.fixture
def away(own_postgres: Any, settings_of: Any, free_port: Any, query: Any, aside: Any, client: Any) -> Any:
    """Settings for an API whose PostgreSQL is `own_postgres`; `client` is known there too."""
    import asyncpg

    rows = [(table, row) for table in ("clients", "client_keys") for row in query(f"select * from {table}")]

    async def copy() -> None:
        connection = await asyncpg.connect(own_postgres.dsn())
        for table, row in rows:
            places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            await connection.execute(f"insert into {table} ({', '.join(row.keys())}) values ({places})", *row.values())
        await connection.close()

    aside.run(copy())
    return settings_of(database_url=own_postgres.dsn(), port=free_port())


def test_an_api_that_starts_before_postgres_lives_is_not_ready_and_heals_by_itself(
    away, own_postgres, start_role, send, until
):
    own_postgres.stop()
    api = start_role("api", away, ready=False)
    until(lambda: answers(f"{api.url}/livez"))
    with ThreadPoolExecutor() as threads:
        probes = [threads.submit(status, f"{api.url}/{path}") for path in ("livez", "readyz", "v1/messages")]
        sent = threads.submit(send, api.url)
    assert [probe.result() for probe in probes] == [200, 503, 503]
    assert (sent.result().status_code, sent.result().json()["code"]) == (503, "unavailable")
    assert sent.result().headers["Retry-After"]
    own_postgres.start()
    until(lambda: status(f"{api.url}/readyz") == 200)
    assert send(api.url).status_code == 202


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.TransportError:
        return False


def test_while_postgres_is_away_nothing_is_accepted_and_afterwards_all_goes_on(
    away, own_postgres, start_role, send, client, until
):
    api = start_role("api", away)
    assert send(api.url).status_code == 202
    own_postgres.stop(signal.SIGQUIT)
    assert (status(f"{api.url}/livez"), status(f"{api.url}/readyz")) == (200, 503)
    for _ in range(3):
        assert send(api.url).status_code == 503
    answer = httpx.get(f"{api.url}/v1/messages", headers=client.headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    answer = httpx.get(f"{api.url}/admin/clients", headers={"Authorization": "Bearer admin-token"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    own_postgres.start()
    until(lambda: send(api.url).status_code == 202)
    assert len(httpx.get(f"{api.url}/v1/messages", headers=client.headers).json()["items"]) == 2


def test_an_api_over_a_database_that_is_not_migrated_is_not_ready(database, settings_of, start_role, free_port):
    with database(template="template1") as dsn:
        api = start_role("api", settings_of(database_url=dsn, port=free_port()))
        assert (status(f"{api.url}/livez"), status(f"{api.url}/readyz")) == (200, 503)
        answer = httpx.post(f"{api.url}/v1/send", json=BODY, headers={"X-Api-Key": "a", "X-Api-Secret": "b"})
        assert answer.status_code == 503
        api.stop()


def test_without_valkey_mail_is_accepted_and_each_process_counts_for_itself(
    own_valkey, settings_of, start_role, free_port, new_client
):
    client = new_client(rate_per_minute=1, rate_burst=5)
    api = start_role("api", settings_of(redis_url=own_valkey.url(), port=free_port()))
    own_valkey.stop()
    answers = [httpx.post(f"{api.url}/v1/send", json=BODY, headers=client.headers).status_code for _ in range(7)]
    assert answers == [202] * 5 + [429] * 2


async def test_one_key_used_at_once_in_two_processes_makes_one_message(
    settings_of, start_role, free_port, client, query
):
    apis = [start_role("api", settings_of(port=free_port())) for _ in range(2)]
    headers = client.headers | {"Idempotency-Key": "order-1"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        posts = [http.post(f"{apis[n % 2].url}/v1/send", json=BODY) for n in range(40)]
        answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert query("select count(*), (select accepted from usage) from messages")[0] == (1, 1)


def test_sigterm_lets_requests_under_way_finish_and_takes_no_new_ones(
    settings_of, start_role, free_port, client, query, until
):
    api = start_role("api", settings_of(port=free_port()))
    body = json.dumps(BODY).encode()
    lines = ["POST /v1/send HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in client.headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
    with socket.create_connection(("127.0.0.1", api.settings.port)) as connection:
        connection.sendall(head + body[:10])
        assert send_ok(api, client)  # so the first one has been seen by now
        api.tell(signal.SIGTERM)
        until(lambda: not listens(api.settings.port))
        connection.sendall(body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
    assert api.wait() == 0
    assert query("select count(*) from messages")[0][0] == 2
    assert "Traceback" not in api.log.read_text()


def send_ok(api: Any, client: Any) -> bool:
    return httpx.post(f"{api.url}/v1/send", json=BODY, headers=client.headers).status_code == 202


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_api_that_still_waits_for_postgres(
    number, tmp_path, settings_of, start_role, free_port, until
):
    dsn = f"postgresql://postgres@/nowhere?host={tmp_path}"
    api = start_role("api", settings_of(database_url=dsn, port=free_port()), ready=False)
    until(lambda: answers(f"{api.url}/livez"))
    assert api.stop(number) == 0
    assert "Traceback" not in api.log.read_text()
