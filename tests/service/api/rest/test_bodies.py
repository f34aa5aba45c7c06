"""Bodies on real sockets: how much of them is in memory at once, and how long they may take."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

LARGEST, ROOM = 200_000, 300_000


@pytest.fixture(scope="module")
def api_settings(dsn: str, redis_url: str, templates: Any, quick_settings: Any, free_port: Any) -> Any:
    return quick_settings(
        database_url=dsn,
        redis_url=redis_url,
        templates=str(templates),
        port=free_port(),
        max_body_bytes=LARGEST,
        bodies_bytes=ROOM,
        body_seconds=1.0,
    )


@pytest.fixture(scope="module")
def patient_settings(api_settings: Any, redis_url: str, quick_settings: Any, free_port: Any) -> Any:
    """A body may take as long as a test."""
    return quick_settings(
        database_url=api_settings.database_url,
        redis_url=redis_url,
        templates=api_settings.templates,
        port=free_port(),
        max_body_bytes=LARGEST,
        bodies_bytes=ROOM,
        body_seconds=600.0,
    )


@pytest.fixture(scope="module")
def patient(start_module_role: Any, patient_settings: Any) -> Any:
    return start_module_role("api", patient_settings)


class Request:
    """One request on a socket, written piece by piece."""

    def __init__(self, url: str, head: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 30)
        self.socket.sendall(head.replace("\n", "\r\n").encode())

    def write(self, octets: bytes, *, chunked: bool = False) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(octets), octets) if chunked else octets)

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body, as soon as they are there."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._more()
        head, _, body = head.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._more()
        return int(first.split()[1]), headers, json.loads(body)

    def _more(self) -> bytes:
        more = self.socket.recv(65536)
        assert more, "closed without an answer"
        return more

    def is_closed(self) -> bool:
        return self.socket.recv(65536) == b""


@pytest.fixture
def ask(client: Any) -> Iterator[Callable[..., Request]]:
    """ask(api, length, path): the head of a POST by `client`; length None: chunked."""
    made: list[Request] = []

    def ask(api: Any, length: int | None, path: str = "/v1/send", **own: str) -> Request:
        headers = {"Host": "localhost", "Content-Type": "application/json", **client.headers, **own}
        headers["Transfer-Encoding" if length is None else "Content-Length"] = (
            "chunked" if length is None else str(length)
        )
        lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
        made.append(Request(api.url, f"POST {path} HTTP/1.1\n{lines}\n"))
        return made[-1]

    yield ask
    for request in made:
        request.socket.close()


def octets(api: Any) -> int:
    """What the API says is in memory."""
    found = re.search(r"^mailboat_body_bytes (\d+)$", httpx.get(f"{api.url}/metrics").text, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.fixture
def empty(patient: Any, until: Any) -> None:
    """The requests of the test before are let go of."""
    until(lambda: octets(patient) == 0)


@pytest.fixture
def full(empty: None, patient: Any, ask: Any, until: Any) -> Callable[[int], Request]:
    """full(n): a request that has room for n octets and sends nothing."""

    def full(count: int) -> Request:
        request = ask(patient, count)
        until(lambda: octets(patient) == count)
        return request

    return full


@pytest.mark.parametrize("path", ["/v1/send", "/v1/batch"])
def test_a_body_without_room_is_refused_before_it_is_sent(patient, ask, full, path):
    full(150_000)
    status, headers, body = ask(patient, 160_000, path).answer()
    assert (status, body["code"]) == (503, "unavailable")
    assert int(headers["retry-after"]) > 0
    assert "MAILBOAT_BODIES_BYTES" in body["detail"]


def test_small_bodies_go_on_beside_a_large_one(patient, full, client, body_of):
    full(200_000)
    answer = httpx.post(f"{patient.url}/v1/send", json=body_of(), headers=client.headers)
    assert answer.status_code == 202


def test_a_body_of_unknown_length_is_refused_once_it_passes_what_is_left(patient, ask, full):
    full(200_000)
    request = ask(patient, None)
    for _ in range(5):
        request.write(b"x" * 25_000, chunked=True)
    status, _, body = request.answer()
    assert (status, body["code"]) == (503, "unavailable")


def test_room_comes_back_when_a_request_ends_or_its_caller_goes(patient, full, ask, until, body_of):
    gone = full(200_000)
    gone.socket.close()
    until(lambda: octets(patient) == 0)
    body = json.dumps(body_of()).encode()
    request = ask(patient, len(body))
    request.write(body)
    assert request.answer()[0] == 202
    until(lambda: octets(patient) == 0)


def test_strangers_take_no_room_from_mail(empty, patient, ask, until, client, body_of):
    for _ in range(3):
        ask(patient, 200_000, "/v1/send", **{"X-Api-Secret": "wrong"})
        ask(patient, 70_000, "/admin/clients")
    until(lambda: octets(patient) >= 70_000)
    big = body_of(text="x" * 190_000)
    answer = httpx.post(f"{patient.url}/v1/send", json=big, headers=client.headers)
    assert answer.status_code == 202


def test_other_endpoints_have_a_bound_too(patient, ask, full):
    status, _, body = ask(patient, LARGEST + 1, "/v1/suppressions/import").answer()
    assert (status, body["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/v1/send", "/v1/batch", "/v1/suppressions"])
def test_a_body_that_stops_coming_is_408_and_the_connection_ends(api, ask, path):
    request = ask(api, 1000, path)
    request.write(b"{")
    status, headers, body = request.answer()
    assert (status, body["code"], headers["connection"]) == (408, "too_slow", "close")
    assert request.is_closed()


def test_a_body_that_comes_drop_by_drop_is_given_up(api, ask):
    request = ask(api, None)
    request.socket.settimeout(0.1)
    for _ in range(600):
        try:
            request.write(b" ", chunked=True)
            assert request.answer()[2]["code"] == "too_slow"
        except TimeoutError:
            continue
        except ConnectionError:
            pass  # closed, and a drop that came too late took the answer with it
        return
    pytest.fail("the API waits for ever")


def test_the_octets_of_a_late_body_are_let_go_of(api, ask, until):
    assert ask(api, LARGEST).answer()[0] == 408
    until(lambda: octets(api) == 0)
