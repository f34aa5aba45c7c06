"""One API process per module, spoken to over HTTP as callers do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

RECEIPT = '---\nsubject: "Receipt {{ order }}"\n---\n<p>Order {{ order }}</p>\n'


@pytest.fixture(scope="module")
def dsn(database: Any) -> Iterator[str]:
    """One database per module: a process lasts longer than a test."""
    with database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def redis_url(new_redis_url: Callable[[], str]) -> str:
    return new_redis_url()


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    (folder / "receipt.html.j2").write_text(RECEIPT)
    return folder


@pytest.fixture(scope="module")
def api_settings(dsn: str, redis_url: str, templates: Path, quick_settings: Any, free_port: Any) -> Any:
    return quick_settings(
        database_url=dsn, redis_url=redis_url, templates=str(templates), port=free_port(), max_body_bytes=200_000
    )


@pytest.fixture(scope="module")
def api(start_module_role: Any, api_settings: Any) -> Any:
    return start_module_role("api", api_settings)


@pytest.fixture
def client(new_client: Any) -> Any:
    return new_client()


@pytest.fixture
def http(api: Any) -> Iterator[httpx.Client]:
    """Requests to the API, of nobody in particular."""
    with httpx.Client(base_url=api.url, timeout=30) as http:
        yield http


@pytest.fixture
def caller(api: Any, client: Any) -> Iterator[httpx.Client]:
    """Requests to the API by `client`."""
    with httpx.Client(base_url=api.url, headers=client.headers, timeout=30) as http:
        yield http


@pytest.fixture
def admin(api: Any) -> Iterator[httpx.Client]:
    """Requests to the API by its administrator."""
    with httpx.Client(base_url=api.url, headers={"Authorization": "Bearer admin-token"}, timeout=30) as http:
        yield http


@pytest.fixture
def stored(query: Any, client: Any) -> Callable[[], int]:
    """stored(): how many messages of `client` are in; the quota has booked the same."""

    def count() -> int:
        ((messages, queued, booked),) = query(
            """select (select count(*) from messages where client_id = $1), (select count(*) from queue where
            client_id = $1), (select coalesce(sum(accepted), 0)::int from usage where client_id = $1)""",
            client.id,
        )
        assert messages == queued == booked
        return messages

    return count


@pytest.fixture
def body_of() -> Callable[..., dict[str, Any]]:
    """body_of(**fields): what POST /v1/send takes; a field that is None is left out."""
    fields = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello"}
    return lambda **changes: {k: v for k, v in (fields | changes).items() if v is not None}


@pytest.fixture
def raw(api: Any) -> Callable[..., bytes]:
    """raw(bytes): all that comes back until the API closes; raw(bytes, hang_up=True): send and be gone."""

    def exchange(request: bytes, *, hang_up: bool = False) -> bytes:
        with socket.create_connection(("127.0.0.1", api.settings.port), 10) as connection:
            connection.sendall(request)
            return b"" if hang_up else b"".join(iter(lambda: connection.recv(65536), b""))

    return exchange


@pytest.fixture
def head(client: Any) -> bytes:
    """The beginning of a POST /v1/send by `client`, for `raw`."""
    lines = [
        "POST /v1/send HTTP/1.1",
        "Host: x",
        "Connection: close",
        *(f"{k}: {v}" for k, v in client.headers.items()),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """problem(answer, status, code, field): the answer is this problem, in the form of RFC 9457; its members."""

    def check(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        members: dict[str, Any] = json.loads(answer.content)
        assert (members["status"], members["code"], members.get("field")) == (status, code, field)
        assert members["type"].endswith(f"/{code}")
        assert members["title"]
        assert len(members["detail"]) > 10
        return members

    return check
