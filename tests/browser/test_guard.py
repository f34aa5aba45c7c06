"""What the guard of an open dashboard makes of a request."""

from __future__ import annotations

import pytest

from mailboat.dashboard import guard

OURS = [{"sec-fetch-site": "same-origin"}, {"origin": "http://localhost:8080"}]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "mailboat.localhost:1", "127.0.0.1:8080", "[::1]:8080", "[::1]"]
)
def test_a_loopback_name_is_welcome(host: str) -> None:
    assert guard.refusal("GET", {"host": host}) is None


@pytest.mark.parametrize(
    "host",
    ["", "localhost:", "localhost:x", "xlocalhost", "localhost.", "[::2]", "127.0.0.2", "a..localhost", "localhost\n"],
)
def test_anything_else_is_not(host: str) -> None:
    assert guard.refusal("GET", {"host": host})


@pytest.mark.parametrize("headers", OURS)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_our_own_pages_may_act(method: str, headers: dict[str, str]) -> None:
    assert guard.refusal(method, {"host": "localhost:8080", **headers}) is None
