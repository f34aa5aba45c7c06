"""The line and the headers of a request are bounded, however they arrive."""

from __future__ import annotations

import json
import socket

import pytest

from mailboat.api.heads import MOST_OCTETS

BEGIN = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
ONCE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    "head",
    [
        BEGIN + ONCE + b"X-A: " + b"a" * MOST_OCTETS + b"\r\n\r\n",
        BEGIN + ONCE + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
        BEGIN + ONCE + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET /livez?" + b"a" * MOST_OCTETS + b" HTTP/1.1\r\nHost: x\r\n" + ONCE + b"\r\n",
    ],
    ids=["a header", "a larger one", "many", "the line"],
)
def test_a_head_that_is_too_large_is_431_and_the_next_one_is_served(head, raw, http):
    answer = raw(head)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert http.get("/livez").status_code == 200


def test_a_head_that_just_fits_is_served(raw):
    head = BEGIN + ONCE + b"X-A: " + b"a" * (MOST_OCTETS - 200) + b"\r\n\r\n"
    assert raw(head).startswith(b"HTTP/1.1 200 ")


def test_a_head_without_end_is_not_kept(api):
    """Neither a header nor a line that never ends, whose octets nobody would count at their end."""
    with socket.create_connection(("127.0.0.1", api.settings.port), timeout=30) as caller:
        caller.sendall(BEGIN + b"X-A: ")
        answer = b""
        with pytest.raises(OSError):  # noqa: PT012 - sooner or later
            while not answer.startswith(b"HTTP/1.1 431 "):
                caller.sendall(b"a" * 65536)
            raise OSError


def test_a_large_body_and_requests_that_follow_one_another_are_no_large_head(raw, head, body_of, stored):
    text = json.dumps(body_of(text="a" * 150_000)).encode()
    assert raw(head + b"Content-Length: %d\r\n\r\n" % len(text) + text).startswith(b"HTTP/1.1 202 ")
    assert stored() == 1
    many = (BEGIN + b"\r\n") * 3000 + BEGIN + ONCE + b"\r\n"
    assert raw(many).count(b"HTTP/1.1 200 ") == 3001
