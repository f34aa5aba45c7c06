"""What the two clients share: how an API is reached, and what an answer leads to."""

from __future__ import annotations

from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from mailboat.client import errors
from mailboat.client.calls import Call
from mailboat.client.errors import ApiError, Unavailable
from mailboat.client.retry import AGAIN, Policy, retry_after

Answer = TypeVar("Answer")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def options(url: str, key: str, secret: str, timeout: float) -> dict[str, Any]:
    """How httpx reaches the API. Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of an API, such as https://mail.example.com.")
    return {
        "base_url": url.rstrip("/"),
        "headers": {"X-Api-Key": key, "X-Api-Secret": secret},
        "timeout": timeout,
        "trust_env": parts.hostname not in LOOPBACK,  # no proxy leads to this machine
    }


def request(call: Call[Any]) -> dict[str, Any]:
    """The arguments of httpx's `request`."""
    json = {"Content-Type": "application/json"} if call.body is not None else {}
    return {
        "method": call.method,
        "url": call.path,
        "params": call.parameters or None,
        "content": call.body,
        "headers": {**json, **call.headers},
    }


class Tries:
    """The tries of one call. `wait` is how long to wait before the next one."""

    def __init__(self, call: Call[Any], policy: Policy) -> None:
        self._call, self._policy = call, policy
        self._made = 0
        self.wait = 0.0

    def failed(self, error: httpx.TransportError) -> None:
        """Nobody answered. Raises Unavailable when that was the last try."""
        self._again(Unavailable(f"no answer after {self._made + 1} tries: {error or type(error).__name__}"))

    def is_done(self, answer: httpx.Response) -> bool:
        """Whether the answer is one; else it has to be asked again. Raises ApiError and Unavailable."""
        if answer.is_success or (answer.status_code == 404 and self._call.may_be_gone and self._made):
            return True
        wanted = retry_after(answer.headers)
        refusal = errors.of(answer.status_code, answer.content, wanted)
        if answer.status_code in AGAIN:
            self._again(_final(refusal), wanted)
            return False
        raise _final(refusal)

    def _again(self, error: errors.ClientError, retry_after: float | None = None) -> None:
        self._made += 1
        wait = self._policy.wait(self._made, retry_after)
        if wait is None:
            raise error
        self.wait = wait


def read(call: Call[Answer], answer: httpx.Response) -> Answer:
    """The typed answer; nothing for a call that finds its work done."""
    return call.read(answer.content) if answer.is_success else cast(Answer, None)


def _final(refusal: ApiError) -> errors.ClientError:
    return Unavailable(str(refusal)) if refusal.status >= 500 else refusal
