"""Mail on its road, through one worker: what each answer of a server, and each fault of a template, comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

RETRIES = 3
TEMPLATES = {
    "receipt": '---\nsubject: "Receipt {{ order }}"\n---\n<p>Order {{ order }}</p>\n',
    "loop": "---\nsubject: x\n---\n<p>\n{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "missing": "---\nsubject: x\n---\n<p>\n  {{ order.total.cents }}</p>\n",
    "syntax": "---\nsubject: x\n---\n<p>\n{% if order %}</p>\n",
    "bomb": "---\nsubject: x\n---\n{% set x = 'x' * 1000000000 %}{{ x }}\n",
}


@pytest.fixture(scope="module")
def dsn(database: Any) -> Iterator[str]:
    with database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def redis_url(new_redis_url: Callable[[], str]) -> str:
    return new_redis_url()


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    for name, source in TEMPLATES.items():
        (folder / f"{name}.html.j2").write_text(source)
    return folder


@pytest.fixture(scope="module")
def server(new_sink: Any) -> Any:
    return new_sink()


@pytest.fixture
def sink(server: Any) -> Any:
    """The module's mail server, well-behaved and empty at the beginning of each test."""
    server.taken.clear()
    server.on_body = server.on_recipient = lambda _: None
    return server


@pytest.fixture(scope="module")
def api(
    start_module_role: Any, quick_settings: Any, dsn: str, redis_url: str, templates: Path, free_port: Any, server: Any
) -> Any:
    """An API, with a worker behind it."""
    settings = quick_settings(
        database_url=dsn,
        redis_url=redis_url,
        templates=str(templates),
        port=free_port(),
        smtp_url=server.url,
        retry_attempts=RETRIES,
    )
    api = start_module_role("api", settings)
    api.worker = start_module_role("worker", settings)
    return api


@pytest.fixture
def client(new_client: Any) -> Any:
    return new_client()


@pytest.fixture
def send(api: Any, client: Any) -> Callable[..., str]:
    """send(**fields): the id of an accepted message; it is from `client` unless `by` another."""

    def send(by: Any = None, **changes: Any) -> str:
        fields = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello"} | changes
        body = {name: value for name, value in fields.items() if value is not None}
        answer = httpx.post(f"{api.url}/v1/send", json=body, headers=(by or client).headers)
        assert answer.status_code == 202, answer.text
        message_id: str = answer.json()["id"]
        return message_id

    return send


@pytest.fixture
def template(send: Any) -> Callable[..., str]:
    """template(name, **data): the id of an accepted message of that template."""
    return lambda name, **data: send(template=name, subject=None, text=None, data=data)


@pytest.fixture
def ended(api: Any, client: Any, until: Any) -> Callable[..., dict[str, Any]]:
    """ended(id): the message when nothing is to be done any more."""

    def look(message_id: str, by: Any) -> Any:
        shown = httpx.get(f"{api.url}/v1/messages/{message_id}", headers=by.headers).json()
        return shown if shown["status"] not in ("queued", "sending", "scheduled") else None

    return lambda message_id, by=None: until(lambda: look(message_id, by or client))


def outcomes(shown: dict[str, Any]) -> list[tuple[int, str]]:
    return [(attempt["number"], attempt["outcome"]) for attempt in shown["attempts"]]


def test_a_subject_beside_a_template_is_the_subject_of_this_mail(sink, send, ended):
    own = ended(send(template="receipt", subject="Danke für 7", text=None, data={"order": 7}))
    assert own["status"] == "sent"
    (taken,) = sink.taken
    assert taken.mail["Subject"] == "Danke für 7"
    assert "Order 7" in taken.mail.get_body().get_content()


def test_a_mail_arrives_as_it_was_sent(sink, send, ended):
    message_id = send(
        to=["Ada <ada@example.com>", "bob@example.com"],
        bcc="eve@example.com",
        reply_to="help@shop.example.com",
        subject="Grüße",
        html="<p>Hello</p>",
        headers={"X-Flow": "checkout"},
        attachments=[{"filename": "a.txt", "content": "aGVsbG8="}],
    )
    shown = ended(message_id)
    assert (shown["status"], shown["provider"], outcomes(shown)) == ("sent", "smtp", [(1, "sent")])
    (taken,) = sink.taken
    assert taken.recipients == ("ada@example.com", "bob@example.com", "eve@example.com")
    assert taken.sender == "orders@shop.example.com"
    mail = taken.mail
    assert (mail["Subject"], mail["X-Flow"], mail["Reply-To"], mail["Bcc"]) == (
        "Grüße",
        "checkout",
        "help@shop.example.com",
        None,
    )
    assert mail["Message-ID"] == f"<{message_id}@shop.example.com>"
    assert [part.get_filename() for part in mail.iter_attachments()] == ["a.txt"]


def test_a_template_is_rendered_with_the_messages_data(sink, template, ended):
    assert ended(template("receipt", order="A-1042 & co"))["status"] == "sent"
    mail = sink.taken[0].mail
    assert mail["Subject"] == "Receipt A-1042 & co"
    assert "Order A-1042 &amp; co" in mail.get_body(("html",)).get_content()


def test_a_message_for_later_is_sent_when_its_time_has_come(sink, send, ended):
    at = datetime.now(UTC) + timedelta(seconds=1)
    message_id = send(send_at=at.isoformat())
    shown = ended(message_id)
    assert shown["status"] == "sent"
    assert datetime.fromisoformat(shown["attempts"][0]["started_at"]) >= at


def test_a_server_that_is_busy_gets_it_again_after_a_growing_wait(sink, send, ended):
    answers = iter(["451 4.3.0 busy", "452 4.3.1 full"])
    sink.on_body = lambda _: next(answers, None)
    shown = ended(send())
    assert (shown["status"], outcomes(shown)) == ("sent", [(1, "retryable"), (2, "retryable"), (3, "sent")])
    assert "451" in shown["attempts"][0]["detail"]
    assert len({taken.message_id for taken in sink.taken}) == 1


def test_a_server_that_stays_busy_makes_a_dead_letter(sink, send, ended):
    sink.on_body = lambda _: "451 4.3.0 busy"
    shown = ended(send())
    assert (shown["status"], len(shown["attempts"]), len(sink.taken)) == ("dead", RETRIES, RETRIES)
    assert "451 4.3.0 busy" in shown["error"]


def test_the_clients_own_number_of_tries_counts(sink, send, ended, new_client):
    client = new_client(retry_attempts=1)
    sink.on_body = lambda _: "451 4.3.0 busy"
    shown = ended(send(by=client), client)
    assert (shown["status"], len(shown["attempts"])) == ("dead", 1)


def test_a_refusal_for_good_is_not_tried_again(sink, send, ended):
    sink.on_body = lambda _: "554 5.7.1 spam"
    shown = ended(send())
    assert (shown["status"], outcomes(shown)) == ("failed", [(1, "failed")])
    assert "554 5.7.1 spam" in shown["error"]
    assert len(sink.taken) == 1


def test_an_unknown_recipient_fails_the_message(sink, send, ended):
    sink.on_recipient = lambda _: "550 5.1.1 no such user"
    shown = ended(send())
    assert (shown["status"], sink.taken) == ("failed", [])


def test_after_an_uncertain_send_the_same_mail_is_sent_again_unless_the_client_wants_it_held(
    sink, send, ended, new_client
):
    for policy, status, copies in (("resend", "sent", 2), ("hold", "held", 1)):
        client = new_client(on_uncertain=policy)
        sink.taken.clear()
        answers = iter(["cut"])
        sink.on_body = lambda _, answers=answers: next(answers, None)
        shown = ended(send(by=client), client)
        assert (shown["status"], len(sink.taken)) == (status, copies)
        assert outcomes(shown)[0] == (1, "uncertain")
        assert len({taken.raw for taken in sink.taken}) == 1


def test_only_recipients_that_are_still_open_get_it_again(sink, send, ended):
    refusals = {
        "bob@example.com": iter(["450 4.2.0 greylisted"] * 2),
        "cy@example.com": iter(["550 5.1.1 no such user"] * 9),
    }
    sink.on_recipient = lambda address: next(refusals.get(address, iter(())), None)
    shown = ended(send(to=["ada@example.com", "bob@example.com"], cc="cy@example.com"))
    assert [taken.recipients for taken in sink.taken] == [("ada@example.com",), ("bob@example.com",)]
    assert [one["status"] for one in shown["recipients"]] == ["sent", "sent", "failed"]
    assert "550 5.1.1" in shown["recipients"][2]["detail"]
    assert shown["status"] in ("sent", "failed")


def test_who_is_never_reached_has_failed_in_the_end_though_others_got_it(sink, send, ended):
    sink.on_recipient = lambda address: "450 4.2.0 greylisted" if address.startswith("bob") else None
    shown = ended(send(to=["ada@example.com", "bob@example.com"]))
    assert [one["status"] for one in shown["recipients"]] == ["sent", "failed"]
    assert [taken.recipients for taken in sink.taken] == [("ada@example.com",)]
    assert len(shown["attempts"]) == RETRIES


@pytest.mark.parametrize(
    ("name", "place"),
    [("missing", "missing.html.j2:5:"), ("syntax", "syntax.html.j2:5:"), ("loop", "loop.html.j2:5:"), ("bomb", "bomb")],
)
def test_a_faulty_template_fails_with_its_place_and_the_next_mail_is_sent(name, place, sink, template, ended):
    faulty = [template(name, order={}) for _ in range(3)]
    good = template("receipt", order="A-1042")
    assert ended(good)["status"] == "sent"
    for message_id in faulty:
        shown = ended(message_id)
        assert (shown["status"], outcomes(shown)) == ("failed", [(1, "failed")])
        assert shown["error"].startswith(place), shown["error"]
    assert len(sink.taken) == 1


def test_what_was_accepted_with_a_template_is_sent_with_it_though_the_file_has_changed(
    sink, send, template, ended, templates, until
):
    (templates / "changing.html.j2").write_text("---\nsubject: first\n---\n<p>1</p>\n")
    at = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    early = send(template="changing", subject=None, text=None, send_at=at)
    (templates / "changing.html.j2").write_text("---\nsubject: second\n---\n<p>2</p>\n")
    until(lambda: ended(template("changing"))["revision"] != revision_of(early, ended))
    subjects = {str(taken.id): taken.mail["Subject"] for taken in sink.taken}
    assert subjects[early] == "first"
    assert "second" in subjects.values()


def revision_of(message_id: str, ended: Any) -> str:
    revision: str = ended(message_id)["revision"]
    return revision


def test_sources_that_are_gone_fail_the_message_and_say_so(sink, send, ended, query):
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    message_id = send(template="receipt", subject=None, text=None, send_at=at)
    query("update messages set revision = $2 where id = $1", message_id, "0" * 64)
    shown = ended(message_id)
    assert shown["status"] == "failed"
    assert "are gone" in shown["error"]


def test_a_route_with_no_provider_here_waits_and_ends_as_a_dead_letter(sink, send, ended, new_client):
    client = new_client(route=["nowhere"])
    shown = ended(send(by=client), client)
    assert shown["status"] == "dead"
    assert "nowhere" in shown["error"]


def test_a_mail_that_nobody_rang_for_is_found(sink, put, query, until):
    message_id = put()
    until(lambda: query("select true from queue where id = $1 and state = 3", message_id))
    assert message_id in sink.ids


def test_every_line_of_the_log_names_the_message_its_trace_and_its_client(api, sink, send, ended, client):
    message_id = send()
    ended(message_id)
    (accepted,) = [line for line in api.lines("accepted") if line["message_id"] == message_id]
    (sent,) = [line for line in api.worker.lines("sent") if line["message_id"] == message_id]
    assert len(accepted["trace_id"]) == 32
    assert (sent["trace_id"], sent["client"], accepted["client"]) == (accepted["trace_id"], client.name, client.name)
    assert (sent["role"], accepted["role"], sent["level"]) == ("worker", "api", "info")
    assert sent["provider"] == "smtp"


def test_no_word_of_a_mail_is_in_the_log(api, sink, send, ended):
    word = "a-very-private-word"
    message_id = send(subject=word, text=word, html=word, data={"x": word}, metadata={"x": word}, headers={"X-A": word})
    ended(message_id)
    logs = api.log.read_text() + api.worker.log.read_text()
    assert message_id in logs
    assert word not in logs
    assert all(json.loads(line) for line in logs.splitlines())
