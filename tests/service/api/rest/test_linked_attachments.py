"""Attachments by URL, fetched from a real HTTP server of the test's own."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

PDF = b"%PDF-1.7 an invoice"
MOST = 200_000  # octets of a body, and of the files of a request


class Files(ThreadingHTTPServer):
    """`answers`: by path, a status, headers and body. `asked` are the paths that were."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()

    def put(self, path: str, body: bytes = PDF, status: int = 200, **headers: str) -> str:
        """Its URL."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, named, body)
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Files

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        if self.path.startswith("/slow"):
            self.server.gate.wait(30)
        try:
            self.send_response(status)
            for name, value in ({"content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # it was given up

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def files() -> Iterator[Files]:
    server = Files()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def api_settings(dsn: str, redis_url: str, templates: Any, quick_settings: Any, free_port: Any) -> Any:
    return quick_settings(
        database_url=dsn,
        redis_url=redis_url,
        templates=str(templates),
        port=free_port(),
        max_body_bytes=MOST,
        egress_allow="127.0.0.0/8",
    )


@pytest.fixture
def send(caller: httpx.Client, body_of: Any) -> Callable[..., httpx.Response]:
    """send(attachment, …): POST /v1/send with these."""

    def send(*attachments: dict[str, Any], **headers: str) -> httpx.Response:
        return caller.post(
            "/v1/send",
            json=body_of(attachments=attachments),
            headers={k.replace("_", "-"): v for k, v in headers.items()},
        )

    return send


@pytest.fixture
def kept(query: Any) -> Callable[[httpx.Response], list[tuple[dict[str, Any], bytes]]]:
    """kept(answer): what the message says of each file, and what is stored for it."""

    def kept(answer: httpx.Response) -> list[tuple[dict[str, Any], bytes]]:
        assert answer.status_code == 202, answer.text
        ((about,),) = query("select attachments from messages where id = $1", answer.json()["id"])
        listed = json.loads(about)
        return [
            (file, *query("select body from attachments where digest = $1", bytes.fromhex(file["digest"]))[0])
            for file in listed
        ]

    return kept


def test_a_file_by_url_is_kept_as_if_it_had_come_along(files, send, kept):
    url = files.put("/invoices/1042.pdf", content_type="application/pdf")
    linked = kept(send({"url": url}))
    brought = kept(
        send({"filename": "1042.pdf", "content": base64.b64encode(PDF).decode(), "content_type": "application/pdf"})
    )
    assert linked == brought
    assert linked[0][1] == PDF


# what the server says and the request asks for: the name and type of the file
NAMES: list[tuple[str, dict[str, str], dict[str, str], tuple[str, str]]] = [
    ("/a.pdf", {"content_type": "text/csv; charset=utf-8"}, {}, ("a.pdf", "text/csv")),
    ("/a.pdf", {"content_type": "text/csv"}, {"content_type": "image/png"}, ("a.pdf", "image/png")),
    ("/a.pdf", {}, {}, ("a.pdf", "application/pdf")),
    ("/a.pdf", {"content_type": "multipart/mixed"}, {}, ("a.pdf", "application/pdf")),
    ("/a.pdf", {"content_type": "nonsense"}, {}, ("a.pdf", "application/pdf")),
    ("/a.pdf", {"content_disposition": 'attachment; filename="b.txt"'}, {}, ("b.txt", "text/plain")),
    ("/a.pdf", {"content_disposition": 'attachment; filename="b.txt"'}, {"filename": "c.csv"}, ("c.csv", "text/csv")),
    (
        "/a.pdf",
        {"content_disposition": "attachment; filename=\"b.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt"},
        {},
        ("grüße.txt", "text/plain"),
    ),
    ("/a.pdf", {"content_disposition": "attachment; filename=../../etc/pass.txt"}, {}, ("pass.txt", "text/plain")),
    ("/a.pdf", {"content_disposition": 'attachment; filename="C:\\\\x\\\\evil.txt"'}, {}, ("evil.txt", "text/plain")),
    ("/a.pdf", {"content_disposition": "attachment; filename*=UTF-8''%00%0A"}, {}, ("a.pdf", "application/pdf")),
    ("/gr%C3%BC%C3%9Fe%20an%20Ada.txt?token=x", {}, {}, ("grüße an Ada.txt", "text/plain")),
    ("/", {"content_type": "application/pdf"}, {}, ("attachment.pdf", "application/pdf")),
    ("/..", {}, {}, ("attachment", "application/octet-stream")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "headers", "asked", "expected"), NAMES)
def test_the_request_names_the_file_else_the_answer_else_the_path(files, send, kept, path, headers, asked, expected):
    ((about, _),) = kept(send({"url": files.put(path, **headers), **asked}))
    assert (about["filename"], about["content_type"]) == expected


def test_linked_and_brought_files_keep_their_order_and_ids(files, send, kept):
    brought = {"filename": "b.txt", "content": base64.b64encode(b"b").decode()}
    found = kept(send({"url": files.put("/a.txt", b"a"), "content_id": "logo"}, brought, {"url": files.put("/c", b"")}))
    assert [(about["filename"], about.get("content_id"), body) for about, body in found] == [
        ("a.txt", "logo", b"a"),
        ("b.txt", None, b"b"),
        ("c", None, b""),
    ]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"status": 404}, "it answered 404"),
    "a server's fault": ({"status": 500}, "it answered 500"),
    "a redirect": ({"status": 302, "location": "https://example.com/"}, "redirects are not followed"),
    "too large": ({"body": b"x" * (MOST + 1)}, f"{MOST} octets at most"),
    "cut short": ({"body": b"short", "content_length": "50"}, "cannot be fetched"),
    "compressed": ({"content_encoding": "gzip"}, "encoding 'gzip'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_cannot_be_had_is_422_and_nothing_is_stored(files, send, problem, stored, name):
    answer, reason = FAULTS[name]
    before = stored()
    good, bad = files.put("/good", b"x"), files.put("/bad", **answer)
    found = problem(send({"url": good}, {"url": bad}), 422, "invalid_attachment", "attachments[1].url")
    assert reason in found["detail"]
    assert stored() == before


def test_nobody_there_is_422(send, problem, free_port):
    url = f"http://127.0.0.1:{free_port()}/a"
    problem(send({"url": url}), 422, "invalid_attachment", "attachments[0].url")


def test_an_address_outside_of_what_is_allowed_is_refused_as_for_webhooks(send, problem):
    found = problem(send({"url": "https://10.0.0.1:8443/a"}), 422, "invalid_attachment", "attachments[0].url")
    assert "not on the open internet" in found["detail"]
    assert "MAILBOAT_EGRESS_ALLOW" in found["detail"]


def test_a_request_that_is_refused_anyway_fetches_nothing(files, caller, body_of, problem):
    body = body_of(attachments=[{"url": files.put("/a")}], to="nobody")
    problem(caller.post("/v1/send", json=body), 422, "invalid_address", "to")
    assert files.asked == []


def test_a_repeat_does_not_fetch_again(files, send, problem):
    url = files.put("/once")
    first = send({"url": url}, idempotency_key="one")
    files.put("/once", status=410)
    again = send({"url": url}, idempotency_key="one")
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(send({"url": f"{url}?other"}, idempotency_key="one"), 409, "idempotency_key_reused", "Idempotency-Key")
    assert files.asked == ["/once"]


def test_a_batch_fetches_a_url_once_and_says_whose_file_is_missing(files, caller, body_of, kept, query):
    good, bad = files.put("/good", b"good"), files.put("/bad", status=404)
    messages = [body_of(attachments=[{"url": url}]) for url in (good, bad, good)] + [body_of()]
    answer = caller.post("/v1/batch", json={"mode": "each", "messages": messages}).json()
    assert (answer["accepted"], answer["refused"]) == (3, 1)
    assert answer["messages"][1]["problem"]["field"] == "messages[1].attachments[0].url"
    assert sorted(files.asked) == ["/bad", "/good"]
    ((count,),) = query("select count(*) from attachments where digest = $1", hashlib.sha256(b"good").digest())
    assert count == 1


def test_a_whole_batch_is_refused_for_one_file(files, caller, body_of, problem, stored):
    before = stored()
    messages = [body_of(), body_of(attachments=[{"url": files.put("/bad", status=404)}])]
    answer = caller.post("/v1/batch", json={"messages": messages})
    problem(answer, 422, "invalid_attachment", "messages[1].attachments[0].url")
    assert stored() == before


@pytest.mark.parametrize("mode", ["all", "each"])
def test_a_repeated_batch_does_not_fetch_again(files, caller, body_of, mode):
    item = body_of(attachments=[{"url": files.put("/batch")}], idempotency_key=f"in-a-batch-{mode}")
    first, again = (caller.post("/v1/batch", json={"mode": mode, "messages": [item, body_of()]}) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["messages"][0] == again.json()["messages"][0]
    assert files.asked == ["/batch"]


def test_the_files_of_a_batch_share_one_bound(files, caller, body_of):
    urls = [files.put(f"/{n}", b"x" * (MOST // 3)) for n in range(5)]
    messages = [body_of(attachments=[{"url": url}]) for url in urls]
    answer = caller.post("/v1/batch", json={"mode": "each", "messages": messages}).json()
    assert answer["refused"] >= 2
    assert all("octets at most" in m["problem"]["detail"] for m in answer["messages"] if "problem" in m)


def test_one_client_that_waits_for_files_keeps_no_other_from_sending(files, caller, new_client, http, body_of):
    slow = [{"url": files.put(f"/slow/{n}", b"x")} for n in range(10)]
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(caller.post("/v1/send", json=body_of(attachments=slow)))

    thread = threading.Thread(target=wait)
    thread.start()
    other = http.post(
        "/v1/send", json=body_of(attachments=[{"url": files.put("/quick")}]), headers=new_client().headers
    )
    files.gate.set()
    thread.join()
    assert other.status_code == 202
    assert answers
