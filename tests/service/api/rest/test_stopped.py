"""Dead letters and held mail, as an administrator meets them over REST and by `mailboat dlq`."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import httpx
import pytest

from mailboat import cli
from mailboat.db.states import State
from mailboat.domain import identifier

BUSY, GONE = "451 4.7.1 Greylisted, come back", "550 5.1.1 User unknown"


@pytest.fixture(autouse=True)
def nothing_else(query: Any) -> None:
    query("delete from queue")
    query("delete from audit")


@pytest.fixture
def stop(caller: httpx.Client, body_of: Any, query: Any) -> Callable[..., str]:
    """stop(state, error, **fields): the id of a message that was tried once and stopped there."""

    def stop(state: State = State.DEAD, error: str = BUSY, provider: str = "smtp", **fields: Any) -> str:
        answer = caller.post("/v1/send", json=body_of(**fields))
        assert answer.status_code == 202, answer.text
        number: str = answer.json()["id"]
        query(
            "update queue set state = $2, error = $3, provider = $4, attempts = 1, updated_at = now() - interval '1 h' "
            "where id = $1",
            UUID(number),
            state,
            error,
            provider,
        )
        query(
            "insert into attempts (message_id, number, provider, outcome, detail) values ($1, 1, $2, 'retryable', $3)",
            UUID(number),
            provider,
            error,
        )
        return number

    return stop


@pytest.fixture
def dlq(api: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """dlq(words): exit code, stdout and stderr of `mailboat dlq`."""

    def dlq(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["dlq", *words, "--url", api.url, "--token", "admin-token"])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return dlq


@pytest.fixture
def answer(dlq: Any) -> Callable[..., Any]:
    """answer(words): the JSON of `mailboat dlq`, which worked."""

    def answer(*words: str) -> Any:
        code, out, err = dlq(*words, "--output", "json")
        assert code == 0, err
        return json.loads(out)

    return answer


@pytest.fixture
def states(query: Any) -> Callable[..., list[str]]:
    """states(ids): where these messages are."""

    def states(*ids: str) -> list[str]:
        return [State(query("select state from queue where id = $1", UUID(number))[0][0]).word for number in ids]

    return states


@pytest.fixture
def audited(query: Any) -> Callable[[], list[tuple[str, str, str, dict[str, Any]]]]:
    def audited() -> list[tuple[str, str, str, dict[str, Any]]]:
        rows = query("select actor, action, subject, detail from audit order by id")
        return [(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    return audited


def test_a_dead_letter_shows_every_attempt_and_its_mail(admin, stop):
    number = stop(template="receipt", subject=None, text=None, data={"order": "A-1"}, headers={"X-Order": "1"})
    found = admin.get(f"/admin/dead-letters/{number}").json()
    assert [(one["number"], one["provider"], one["detail"]) for one in found["attempts"]] == [(1, "smtp", BUSY)]
    mail = found["mail"]
    assert (mail["subject"], mail["fault"]) == ("Receipt A-1", None)
    assert "Order A-1" in mail["html"]
    assert "Order A-1" in mail["text"]
    assert (mail["headers"]["X-Order"], mail["headers"]["Subject"]) == ("1", "Receipt A-1")
    raw = admin.get(f"/admin/dead-letters/{number}/raw")
    assert raw.headers["content-type"] == "message/rfc822"
    assert raw.content.decode() == mail["source"]
    assert len(raw.content) == mail["size"]
    assert message_from_bytes(raw.content, policy=policy.default)["Message-ID"].startswith(f"<{number}@")


def test_a_mail_is_rendered_from_the_revision_that_it_was_accepted_with(admin, stop, api_settings, templates, until):
    number = stop(template="receipt", subject=None, text=None, data={"order": "A-2"})
    source = templates / "receipt.html.j2"
    before = source.read_text()
    source.write_text(before.replace("Receipt", "Invoice"))
    try:
        found = admin.get(f"/admin/dead-letters/{number}").json()
    finally:
        source.write_text(before)
    assert found["mail"]["subject"] == "Receipt A-2"


def test_a_mail_with_files_shows_them_in_its_source(admin, stop):
    file = {"filename": "a.txt", "content": "QQ==", "content_type": "text/plain"}
    number = stop(State.HELD, attachments=[file])
    mail = message_from_bytes(admin.get(f"/admin/held/{number}/raw").content, policy=policy.default)
    assert [part.get_filename() for part in mail.iter_attachments()] == ["a.txt"]


def test_a_mail_whose_revision_is_gone_says_so(admin, stop, query, problem):
    number = stop()
    query("update messages set content = null, template = 'x', revision = repeat('0', 64) where id = $1", UUID(number))
    mail = admin.get(f"/admin/dead-letters/{number}").json()["mail"]
    assert mail["html"] is None
    assert "are gone" in mail["fault"]
    problem(admin.get(f"/admin/dead-letters/{number}/raw"), 409, "wrong_state")


def test_nobody_s_message_is_404(admin, problem):
    for path in ("dead-letters/{}", "dead-letters/{}/raw", "held/{}", "held/{}/raw"):
        problem(admin.get(f"/admin/{path.format(UUID(int=1))}"), 404, "not_found")


FILTERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "template": ({"template": "receipt", "subject": None, "text": None, "data": {"order": 1}}, {"template": "receipt"}),
    "provider": ({"provider": "ses-eu"}, {"provider": "ses-eu"}),
    "reason": ({"error": GONE}, {"error": "user UNKNOWN"}),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("state", [State.DEAD, State.HELD])
def test_filters_narrow_the_list_and_what_is_done(admin, stop, states, audited, answer, name, state):
    made, asked = FILTERS[name]
    one, other = stop(state, **made), stop(state)
    place, verb = ("held", "release") if state == State.HELD else ("dead-letters", "replay")
    listed = admin.get(f"/admin/{place}", params=asked).json()
    assert ([item["id"] for item in listed["items"]], listed["total"]) == ([one], 1)
    ((field, value),) = asked.items()
    done = answer(verb, "--reason" if field == "error" else f"--{field}", value)
    assert done == {"released" if state == State.HELD else "replayed": 1, "remaining": 0}
    assert states(one, other) == ["queued", state.word]
    ((actor, _, subject, detail),) = audited()
    assert (actor, subject, detail) == ("admin", state.word, {**asked, "messages": 1})


def test_a_client_and_a_time_narrow_too(stop, client, answer):
    number = stop()
    assert [item["id"] for item in answer("list", "--client", client.name, "--since", "2h")] == [number]
    assert answer("list", "--client", "default/nobody") == []
    assert answer("list", "--until", "2h") == []
    assert answer("list", "--since", "2999-01-01T00:00:00Z") == []


def test_a_table_shows_them_with_their_reason(stop, dlq):
    number = stop(error=GONE)
    code, out, _ = dlq("list")
    assert code == 0
    assert number in out
    assert GONE in out
    assert GONE in dlq("reasons")[1]


def test_show_prints_the_attempts_and_the_mail_or_a_part_of_it(stop, dlq, answer):
    number = stop(subject="Ahoy", text="Hello there", html="<p>Hello there</p>")
    code, out, _ = dlq("show", number)
    assert code == 0
    assert all(words in out for words in (BUSY, "Ahoy", "Hello there"))
    assert dlq("show", number, "--part", "html")[1] == "<p>Hello there</p>\n"
    assert answer("show", number)["mail"]["text"] == "Hello there"
    assert "Message-ID:" in dlq("show", number, "--part", "source")[1]


def test_all_are_replayed_in_as_many_requests_as_it_takes_and_what_dies_again_is_left_alone(
    stop, states, answer, query, audited
):
    first = stop()
    query(
        """with copies as (select unnest($2::uuid[]) as id),
           made as (insert into messages (id, client_id, created_at, envelope, data, traceparent)
                    select c.id, client_id, created_at, envelope, data, traceparent from messages, copies c
                    where messages.id = $1 returning id)
           insert into queue (id, client_id, lane, state, attempts, run_at, error, updated_at)
           select made.id, client_id, 1, 5, 1, run_at, error, updated_at from queue, made where queue.id = $1""",
        UUID(first),
        [identifier.new() for _ in range(1500)],
    )
    late = stop()
    query("update queue set updated_at = now() + interval '1 day' where id = $1", UUID(late))
    assert answer("replay", "--all") == {"replayed": 1501, "remaining": 0}
    assert states(first, late) == ["queued", "dead"]
    assert [row[3]["messages"] for row in audited()] == [1000, 501]


def test_some_are_replayed_by_id_and_those_that_are_not_stopped_are_told(stop, states, dlq, audited):
    dead, queued = stop(), stop(State.QUEUED)
    code, out, err = dlq("replay", dead, queued, "--output", "json")
    assert code == 1
    told = json.loads(out)
    assert (told["replayed"], [one["id"] for one in told["refused"]]) == (1, [queued])
    assert "1 of 2" in err
    assert states(dead, queued) == ["queued", "queued"]
    assert audited() == [("admin", "message.replay", dead, {"messages": 1})]


def test_held_mail_is_released_or_failed_by_a_person_who_stands_in_the_audit(stop, states, answer, audited, query):
    again, never, others = stop(State.HELD), stop(State.HELD), [stop(State.HELD) for _ in range(3)]
    assert answer("release", again)["released"] == 1
    assert answer("fail", never)["failed"] == 1
    assert answer("fail", "--all") == {"failed": 3, "remaining": 0}
    assert states(again, never, *others) == ["queued", "failed", "failed", "failed", "failed"]
    acts = [(actor, action, subject, detail["messages"]) for actor, action, subject, detail in audited()]
    assert acts == [
        ("admin", "held.release", again, 1),
        ("admin", "held.fail", never, 1),
        ("admin", "held.fail", "held", 3),
    ]
    assert query("select error from queue where id = $1", UUID(never))[0][0] == f"given up by a person: {BUSY}"


def test_webhooks_are_told_of_mail_that_is_given_up(stop, admin, query, client):
    endpoint = UUID(int=7)
    query(
        "insert into webhook_endpoints (id, client_id, url, sealed) values ($1, $2, 'https://example.com/', '')",
        endpoint,
        client.id,
    )
    number = stop(State.HELD)
    assert admin.post(f"/admin/held/{number}/fail").status_code == 200
    ((event, body),) = query("select event, body from webhook_deliveries where endpoint_id = $1", endpoint)
    assert (event, json.loads(body)["data"]["message_id"]) == ("failed", number)


@pytest.mark.parametrize("words", [("replay",), ("release", "--all", "--client", "x"), ("fail", "1", "--all")])
def test_what_is_meant_has_to_be_said(dlq, words):
    code, _, err = dlq(*words)
    assert code == 2
    assert "Say which" in err


def test_a_time_that_is_none_is_a_wrong_command_line(dlq):
    assert dlq("list", "--since", "yesterday")[0] == 2
