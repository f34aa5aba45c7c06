"""What is tried again, how long that takes, and that nothing is sent twice by it: over a wire that loses answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from mailboat.client import AsyncMailboat, Mailboat, NotFound, RateLimited, Unauthorized, Unavailable
from mailboat.client.retry import Policy, retry_after
from mailboat.client.testing import Recorder

DATA = {"order": "A-1042"}
AT_ONCE = Policy(base=0.0, patience=0.0)


class Lossy(httpx.HTTPTransport):
    """Hands requests over and loses the first answers."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.left, self.requests = lost, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        self.requests += 1
        if self.left:
            self.left -= 1
            answer.read()
            answer.close()
            raise httpx.ReadError("the connection was cut")
        return answer


@pytest.mark.parametrize("lost", [1, 4])
def test_a_send_whose_answers_are_lost_is_stored_once(lost: int, connect: Callable[..., Mailboat], query: Any) -> None:
    wire = Lossy(lost)
    sent = connect(transport=wire, retry=AT_ONCE).send("ada@example.com", template="receipt", data=DATA)
    assert wire.requests == lost + 1
    assert [row["id"] for row in query("select id from messages")] == [sent.id]


@pytest.mark.parametrize("mode", ["all", "each"])
def test_a_batch_whose_answer_is_lost_is_stored_once(mode: Any, connect: Callable[..., Mailboat], query: Any) -> None:
    messages: Any = [{"to": f"{n}@example.com", "template": "receipt", "data": DATA} for n in range(3)]
    outcome = connect(transport=Lossy(2), retry=AT_ONCE).batch(messages, mode=mode)
    assert outcome.accepted == 3
    assert {row["id"] for row in query("select id from messages")} == {item.id for item in outcome.messages}


def test_a_removal_whose_answer_is_lost_is_done(connect: Callable[..., Mailboat]) -> None:
    mail = connect(transport=Lossy(0), retry=AT_ONCE)
    mail.suppressions.add("ada@example.com")
    connect(transport=Lossy(1), retry=AT_ONCE).suppressions.remove("ada@example.com")
    with pytest.raises(NotFound):
        mail.suppressions.get("ada@example.com")


def test_who_never_gets_an_answer_is_told_so_in_the_end(connect: Callable[..., Mailboat]) -> None:
    wire = Lossy(100)
    with pytest.raises(Unavailable, match="5 tries"):
        connect(transport=wire, retry=AT_ONCE).send("ada@example.com", template="receipt", data=DATA)
    assert wire.requests == 5


def test_a_wrong_secret_is_not_tried_again(connect: Callable[..., Mailboat]) -> None:
    wire = Lossy(0)
    with pytest.raises(Unauthorized):
        connect(transport=wire, secret="wrong").templates()
    assert wire.requests == 1


def test_an_empty_bucket_is_waited_for_when_that_is_soon(api: str, new_client: Any) -> None:
    caller = new_client(rate_per_minute=60, rate_burst=1)
    with Mailboat(api, caller.key, caller.secret) as mail:
        ids = {mail.send("ada@example.com", template="receipt", data=DATA).id for _ in range(2)}
    assert len(ids) == 2


def test_a_used_up_quota_is_raised_at_once(api: str, new_client: Any) -> None:
    caller = new_client(quota_monthly=1)
    with Mailboat(api, caller.key, caller.secret) as mail:
        mail.send("ada@example.com", template="receipt", data=DATA)
        with pytest.raises(RateLimited) as caught:
            mail.send("ada@example.com", template="receipt", data=DATA)
    assert caught.value.code == "quota_exceeded"
    assert (caught.value.retry_after or 0) > 30 or datetime.now(UTC).day > 27


async def test_the_asynchronous_client_tries_again_too(api: str, client: Any, query: Any) -> None:
    class AsyncLossy(httpx.AsyncHTTPTransport):
        left = 2

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if self.left:
                self.left -= 1
                await answer.aread()
                await answer.aclose()
                raise httpx.ReadError("the connection was cut")
            return answer

    async with AsyncMailboat(api, client.key, client.secret, retry=AT_ONCE, transport=AsyncLossy()) as mail:
        sent = await mail.send("ada@example.com", template="receipt", data=DATA)
        assert [found.id async for found in mail.list()] == [sent.id]
        assert await mail.templates() == ["receipt"]
        await mail.suppressions.add("ada@example.com")
        assert [entry.address async for entry in mail.suppressions.list()] == ["ada@example.com"]
    assert len(query("select id from messages")) == 1


async def test_the_double_fails_when_it_is_told_to() -> None:
    recorder = Recorder()
    recorder.fail(503, "unavailable", times=2)
    await recorder.async_client.send("ada@example.com", template="receipt")
    recorder.fail(503, "unavailable", times=5)
    with pytest.raises(Unavailable):
        recorder.client.send("ada@example.com", template="receipt")
    assert len(recorder.sent) == 1


def test_waits_double_up_to_the_cap_and_end() -> None:
    policy = Policy(retries=5, base=1.0, cap=4.0, patience=30.0)
    waits = [policy.wait(tries) for tries in range(1, 7)]
    assert waits[5] is None
    for wait, most in zip(waits[:5], (1, 2, 4, 4, 4), strict=True):
        assert wait is not None
        assert most / 2 <= wait <= most
    assert policy.wait(1, 20.0) == 20.0
    assert policy.wait(1, 31.0) is None


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({}) is None
    assert retry_after({"retry-after": "soon"}) is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 60 < (retry_after({"retry-after": date}) or 0) <= 90
    assert (
        retry_after({"retry-after": format_datetime(datetime.fromtimestamp(time.time() - 90, UTC), usegmt=True)}) == 0
    )


@pytest.mark.parametrize("url", ["", "mail.example.com", "ftp://mail.example.com"])
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        Mailboat(url, "key", "secret")
