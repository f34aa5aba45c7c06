"""One-click unsubscribe: from the request field over the mail at the SMTP server to the next refused request."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID, uuid4

import httpx
import pytest

from mailboat.delivery.unsubscribe import Links
from mailboat.domain.address import parse
from mailboat.errors import ConfigurationError
from mailboat.settings import load

KEY = "a key of the tests"
MAIL = {"to": "Ada <Ada@example.com>", "subject": "News", "html": "<p>Hi</p>", "unsubscribe": True}
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def settings(settings_of, sink, free_port):
    port = free_port()
    return settings_of(port=port, smtp_url=sink.url, unsubscribe_key=KEY, public_url=f"http://localhost:{port}")


@pytest.fixture
def api(start_role, settings, client):
    start_role("api", settings)
    with httpx.Client(base_url=settings.url, headers=client.headers, timeout=20) as http:
        yield http


@pytest.fixture
def link(api, start_role, settings, sink, until):
    """The link in a mail that arrived."""
    start_role("worker", settings)
    assert api.post("/v1/send", json=MAIL).status_code == 202
    until(lambda: sink.taken)
    return sink.taken[0].mail["List-Unsubscribe"].strip("<>")


def suppressed(query):
    return [tuple(row) for row in query("select client_id, address, reason, source from suppressions")]


def test_the_mail_has_a_link_that_one_post_follows(api, link, client, sink, query, until):
    assert sink.taken[0].mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with httpx.Client() as anybody:
        answer = anybody.post(link, data=ONE_CLICK)
        assert (answer.status_code, "You are unsubscribed" in answer.text) == (200, True)
        assert anybody.post(link, data=ONE_CLICK).status_code == 200
    assert suppressed(query) == [(client.id, "ada@example.com", "unsubscribe", "one-click")]

    def refused():
        answer = api.post("/v1/send", json=MAIL | {"to": "ada@EXAMPLE.com"})
        return answer if answer.status_code == 422 else None

    assert until(refused).json()["code"] == "suppressed"
    (event,) = api.get(f"/v1/messages/{sink.ids[0]}").json()["events"]
    assert (event["event"], event["recipient"], event["provider"]) == ("unsubscribed", "Ada@example.com", "mailboat")


def test_looking_at_the_page_changes_nothing(link, query):
    for method in ("GET", "HEAD", "GET"):
        answer = httpx.request(method, link)
        assert answer.status_code == 200
    assert 'form method="post"' in answer.text
    assert "Ada@example.com" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert httpx.put(link).status_code == 405
    assert suppressed(query) == []


def test_a_link_that_was_never_made_does_nothing(link, query):
    base, _, token = link.rpartition("/")
    changed = [
        token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1],
        token[:-1],
        token + "A",
        "",
        "%00" * 43,
        "ä" * 43,
    ]
    other = Links("", ["another key of the tests"]).url(UUID(int=7), parse("ada@example.com")).rpartition("/")[2]
    for wrong in (*changed, other, "A" * 43, "!" * 43):
        answer = httpx.post(f"{base}/{wrong}", data=ONE_CLICK)
        assert (answer.status_code, "does not work" in answer.text) == (404, True)
    assert suppressed(query) == []


def test_a_large_body_is_not_read(link):
    assert httpx.post(link, content=b"x" * 100_000).status_code == 413


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": ["a@example.com", "b@example.com"]}, "unsubscribe"),
        ({"cc": "c@example.com"}, "unsubscribe"),
        ({"bcc": "c@example.com"}, "unsubscribe"),
        ({"headers": {"list-unsubscribe": "<https://example.com>"}}, "headers.list-unsubscribe"),
        ({"unsubscribe": "yes"}, "unsubscribe"),
    ],
)
def test_a_link_is_for_one_recipient_and_the_only_way_out(api, change, field, query):
    answer = api.post("/v1/send", json=MAIL | change)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert query("select count(*) from messages")[0][0] == 0


def test_a_batch_offers_links_too(api):
    answer = api.post("/v1/batch", json={"messages": [MAIL, MAIL | {"cc": "c@example.com"}], "mode": "each"}).json()
    assert (answer["accepted"], answer["messages"][1]["problem"]["field"]) == (1, "messages[1].unsubscribe")


def test_without_a_key_there_are_no_links(start_role, settings_of, free_port, client):
    api = start_role("api", settings_of(port=free_port()))
    answer = httpx.post(f"{api.url}/v1/send", json=MAIL, headers=client.headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "unsubscribe")
    assert "MAILBOAT_UNSUBSCRIBE_KEY" in answer.json()["detail"]
    assert httpx.post(f"{api.url}/unsubscribe/{'A' * 43}").status_code == 404


class TestLinks:
    def test_the_same_message_and_recipient_have_the_same_link_and_others_have_others(self):
        links, one = Links("https://m.test", [KEY]), UUID(int=1)
        ada = parse("Ada <ada@example.com>")
        assert links.url(one, ada) == links.url(one, parse("ADA@example.com"))
        others = {links.url(uuid4(), ada), links.url(one, parse("b@example.com")), links.url(one, ada)}
        assert len(others | {Links("https://m.test", [KEY + "2"]).url(one, ada)}) == 4
        assert re.fullmatch(r"https://m\.test/unsubscribe/[A-Za-z0-9_-]{43}", links.url(one, ada))

    async def test_the_mark_of_one_message_does_not_open_another(self, acceptor, draft_of, pool):
        one, other = draft_of(), draft_of()
        for draft in (one, other):
            await acceptor.accept(draft)
        links, ada = Links("", [KEY]), parse("ada@example.com")
        mark = urlsafe_b64decode(links.url(one.id, ada).rpartition("/")[2] + "=")[16:]
        forged = urlsafe_b64encode(other.id.bytes + mark).rstrip(b"=").decode()
        assert await links.follow(pool, forged) is None
        assert await links.follow(pool, links.url(other.id, ada).rpartition("/")[2])

    async def test_links_of_an_older_key_go_on_working(self, acceptor, draft_of, pool):
        envelope = '{"sender":{"email":"o@example.com"},"to":[{"email":"ada@example.com"}]}'
        draft = draft_of(envelope=envelope)
        await acceptor.accept(draft)
        token = Links("", [KEY]).url(draft.id, parse("ada@example.com")).rpartition("/")[2]
        assert await Links("", ["a newer key of the tests", KEY]).follow(pool, token)
        assert await Links("", ["a newer key of the tests"]).follow(pool, token) is None

    def test_a_key_that_could_be_guessed_is_refused(self):
        with pytest.raises(ConfigurationError, match="MAILBOAT_UNSUBSCRIBE_KEY: each key needs 16 characters"):
            load({"MAILBOAT_UNSUBSCRIBE_KEY": f"{KEY}, short"})
