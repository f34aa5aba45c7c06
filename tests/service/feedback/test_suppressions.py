"""Suppressions: kept by hand and by events, refused at the door, looked at again before sending."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from mailboat.api import front as api_front
from mailboat.api.context import Context
from mailboat.delivery import suppressions
from mailboat.delivery.suppressions import Entry, Guard, Sieve
from mailboat.errors import Problem

MAIL = {"subject": "Ahoy", "text": "Hello"}


@pytest.fixture
async def api(settings, client):
    """The API inside the test's process: api(method, path, …) calls it as the client, api.admin(…) as administrator."""
    context = await Context.open(settings)
    front = api_front.Front(settings)
    front.context.set_result(context)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://x", timeout=30) as http:

        async def call(method, path, headers=client.headers, more=(), **arguments):
            return await http.request(method, path, headers={**headers, **dict(more)}, **arguments)

        async def admin(method, path, **arguments):
            return await call(method, path, {"Authorization": f"Bearer {settings.admin_token}"}, **arguments)

        call.admin, call.context = admin, context
        yield call
    await context.close()


async def send(api, to, **more):
    return await api("POST", "/v1/send", json={"to": to, **MAIL, **more})


async def test_a_suppressed_recipient_is_refused_with_its_field_and_reason(api):
    assert (await send(api, "ada@example.com")).status_code == 202
    added = await api("POST", "/v1/suppressions", json={"address": "Ada@EXAMPLE.com", "detail": "asked by phone"})
    assert added.status_code == 201
    assert added.json() | {"created_at": None} == {
        "address": "ada@example.com", "scope": "client", "reason": "manual", "source": "api",
        "detail": "asked by phone", "created_at": None, "expires_at": None,
    }  # fmt: skip
    for fields, field in (
        ({"to": "ADA@example.com"}, "to"),
        ({"to": ["bob@example.com", "Ada <ada@Example.com>"]}, "to[1]"),
        ({"to": "bob@example.com", "cc": "ada@example.com"}, "cc"),
        ({"to": "bob@example.com", "bcc": ["ada@example.com"]}, "bcc[0]"),
    ):
        answer = await send(api, **fields)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, "suppressed", field)
        assert "asked by phone" in problem["detail"]
    batch = {"messages": [{"to": "bob@example.com", **MAIL}, {"to": "ada@example.com", **MAIL}]}
    refused = (await api("POST", "/v1/batch", json=batch)).json()
    assert (refused["code"], refused["field"]) == ("suppressed", "messages[1].to")
    each = (await api("POST", "/v1/batch", json=batch | {"mode": "each"})).json()
    assert (each["accepted"], each["messages"][1]["problem"]["code"]) == (1, "suppressed")

    assert (await api("DELETE", "/v1/suppressions/ada@example.com")).status_code == 204
    assert (await api("DELETE", "/v1/suppressions/ada@example.com")).status_code == 404
    assert (await send(api, "ada@example.com")).status_code == 202


async def test_a_client_has_its_own_list_and_the_global_one_holds_for_all(api, new_client):
    other = new_client("other")
    await api("POST", "/v1/suppressions", json={"address": "own@example.com"})
    await api.admin("POST", "/admin/suppressions", json={"address": "all@example.com", "reason": "complaint"})
    assert (await send(api, "own@example.com")).status_code == 422
    assert (await send(api, "all@example.com")).json()["reason"] == "complaint"
    theirs = await api("POST", "/v1/send", other.headers, json={"to": "own@example.com", **MAIL})
    assert theirs.status_code == 202
    theirs = await api("POST", "/v1/send", other.headers, json={"to": "all@example.com", **MAIL})
    assert theirs.status_code == 422
    # A client sees what holds for it, and may not lift what is not its own.
    assert (await api("GET", "/v1/suppressions/all@example.com")).json()["scope"] == "global"
    assert (await api("DELETE", "/v1/suppressions/all@example.com")).status_code == 404
    assert [item["address"] for item in (await api("GET", "/v1/suppressions")).json()["items"]] == ["own@example.com"]
    assert (await api("GET", "/admin/suppressions")).status_code == 401
    assert (await api("GET", "/v1/suppressions", {})).status_code == 401


async def test_a_suppression_ends_when_it_says_so(api, pool):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    added = await api("POST", "/v1/suppressions", json={"address": "ada@example.com", "expires_at": soon})
    assert added.status_code == 201
    assert "until" in (await send(api, "ada@example.com")).json()["detail"]
    await pool.execute("update suppressions set expires_at = now() - interval '1 second'")
    assert (await send(api, "ada@example.com")).status_code == 202
    assert (await api("GET", "/v1/suppressions/ada@example.com")).status_code == 404
    assert (await api("GET", "/v1/suppressions")).json()["items"] == []
    past = await api(
        "POST", "/v1/suppressions", json={"address": "a@example.com", "expires_at": "2020-01-01T00:00:00Z"}
    )
    assert (past.status_code, past.json()["field"]) == (422, "expires_at")


async def test_lists_go_by_pages(api):
    for n in range(25):
        reason = "bounce" if n % 2 else "manual"
        await api("POST", "/v1/suppressions", json={"address": f"a{n:02}@example.com", "reason": reason})
    found, cursor = [], None
    while True:
        page = (
            await api("GET", "/v1/suppressions", params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        ).json()
        found += [item["address"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert found == [f"a{n:02}@example.com" for n in range(25)]
    bounced = (await api("GET", "/v1/suppressions", params={"reason": "bounce"})).json()["items"]
    assert len(bounced) == 12
    assert (await api("GET", "/v1/suppressions", params={"cursor": "!"})).status_code == 400
    assert (await api("GET", "/v1/suppressions", params={"cursor": "AA"})).status_code == 400
    assert (await api("GET", "/v1/suppressions/%00@example.com")).status_code == 404


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_an_export_can_be_imported_again(api, form):
    odd = {
        "=1+1@example.com": "=cmd()", "+ada@example.com": 'say "no", please', "plain@example.com": "two\nlines",
        "zoë@exämple.com": "ünï", "'quoted@example.com": "'", "x@example.com": "",
    }  # fmt: skip
    for email, detail in odd.items():
        added = await api("POST", "/v1/suppressions", json={"address": email, "detail": detail, "reason": "bounce"})
        assert added.status_code == 201, added.text
    before = (await api("GET", "/v1/suppressions")).json()["items"]
    exported = await api("GET", "/v1/suppressions/export", params={"format": form})
    if form == "csv":
        assert not any(line[:1] in "=+-@" for line in exported.text.splitlines())
    for item in before:
        await api("DELETE", f"/v1/suppressions/{item['address']}")
    kind = exported.headers["content-type"]
    imported = await api("POST", "/v1/suppressions/import", more={"content-type": kind}, content=exported.content)
    assert imported.json() == {"imported": len(odd), "refused": 0, "faults": []}
    after = (await api("GET", "/v1/suppressions")).json()["items"]
    assert [(i["address"], i["detail"], i["reason"]) for i in after] == [
        (i["address"], i["detail"], i["reason"]) for i in before
    ]
    assert (await send(api, "plain@example.com")).status_code == 422


async def test_bad_lines_of_an_import_are_named_and_the_others_are_in(api):
    lines = b'{"address": "a@example.com"}\n\n{"address": "nobody"}\n{"address": 7}\n{\n\xff\n'
    lines += b'{"address": "b@example.com"}\n'
    lines += b'{"address": "c@example.com", "reason": "mood"}'
    answer = (await api("POST", "/v1/suppressions/import", content=lines)).json()
    assert (answer["imported"], answer["refused"]) == (2, 5)
    assert [fault["line"] for fault in answer["faults"]] == [3, 4, 5, 6, 8]
    csv = {"content-type": "text/csv"}
    table = b"address,reason\r\na@example.com,bounce\r\nnobody,bounce\r\n"
    answer = (await api("POST", "/v1/suppressions/import", more=csv, content=table)).json()
    assert (answer["imported"], answer["faults"][0]["line"]) == (1, 3)
    for body, status in ((b"mail\na@example.com\n", 422), (b"\xff\xfe\x00", 400), (b"", 422)):
        answer = await api("POST", "/v1/suppressions/import", more=csv, content=body)
        assert answer.status_code == status, answer.text
    many = b"".join(b'{"address": "a%d@example.com"}\n' % n for n in range(10_001))
    assert (await api("POST", "/v1/suppressions/import", content=many)).status_code == 413


@pytest.mark.parametrize(
    "body",
    [{}, {"address": "nobody"}, {"address": "a@example.com", "reason": "mood"}, {"address": "a@example.com", "x": 1},
     {"address": "a@example.com", "detail": "\0"}, {"address": "a@example.com", "expires_at": "soon"}, []],
)  # fmt: skip
async def test_a_suppression_that_cannot_be_is_refused(api, body):
    answer = await api("POST", "/v1/suppressions", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] in ("missing_field", "invalid_field", "unknown_field", "invalid_address")


# --- the guard


@pytest.fixture
async def guard(pool):
    guard = Guard(pool)
    yield guard
    await guard.close()


async def suppressed(guard, client_id, *emails):
    """Those that the guard refuses."""
    found = set()
    for email in emails:
        try:
            await guard.check(client_id, [("to", email)])
        except Problem:
            found.add(email)
    return found


async def test_the_guard_knows_before_and_after_it_listens_and_when_it_cannot(guard, pool, eventually):
    await suppressions.put(pool, [Entry(client_id=1, address="a@x.example")])
    assert await suppressed(guard, 1, "a@x.example", "b@x.example") == {"a@x.example"}
    guard.listening(True)
    assert await suppressed(guard, 1, "a@x.example", "b@x.example") == {"a@x.example"}
    await eventually(lambda: guard._sieve is not None)
    assert await suppressed(guard, 1, "a@x.example", "b@x.example") == {"a@x.example"}
    await suppressions.put(pool, [Entry(client_id=1, address="b@x.example")])
    guard.added("b@x.example")
    assert await suppressed(guard, 1, "a@x.example", "b@x.example") == {"a@x.example", "b@x.example"}
    assert await suppressed(guard, 2, "a@x.example", "b@x.example") == set()
    guard.listening(False)
    assert await suppressed(guard, 1, "a@x.example", "c@x.example") == {"a@x.example"}


async def test_where_nothing_is_suppressed_postgres_is_not_asked(guard, pool, eventually):
    guard.listening(True)
    await eventually(lambda: guard._sieve is not None)
    await pool.execute("drop table suppressions")
    assert await suppressed(guard, 1, "a@x.example") == set()


async def test_every_api_hears_of_a_new_suppression(api, pool, eventually, client):
    await eventually(lambda: api.context.guard._sieve is not None)
    for count in (1, 500):  # few are named, of many only that there are many
        names = [f"{count}-{n}@example.com" for n in range(count)]
        await suppressions.put(pool, [Entry(client_id=client.id, address=name) for name in names])

        async def refused(name=names[-1]):
            return (await send(api, name)).status_code == 422

        await eventually(refused)


def test_the_sieve_never_lets_a_suppressed_address_through_and_rarely_holds_another():
    chance = random.Random(7)
    words = ["".join(chance.choices(string.ascii_lowercase, k=12)) + "@example.com" for _ in range(40_000)]
    sieve = Sieve()
    assert sieve.empty
    for word in words[:20_000]:
        sieve.add(word)
    assert all(sieve.may_have(word) for word in words[:20_000])
    assert sum(sieve.may_have(word) for word in words[20_000:]) < 100


# --- before sending


def test_who_gets_suppressed_while_the_mail_waits_is_not_mailed(
    settings_of, start_role, free_port, client, query, sink, until
):
    settings = settings_of(port=free_port(), smtp_url=sink.url)
    api = start_role("api", settings)

    def post(to):
        return httpx.post(f"{api.url}/v1/send", headers=client.headers, json={"to": to, **MAIL}).json()["id"]

    both, alone = post(["ada@example.com", "bob@example.com"]), post("bob@example.com")
    query(
        "insert into suppressions (client_id, address, reason, source, detail) values (0, 'bob@example.com', "
        "'complaint', 'admin', '')"
    )
    start_role("worker", settings)

    def message(identifier):
        return httpx.get(f"{api.url}/v1/messages/{identifier}", headers=client.headers).json()

    found = until(lambda: (m := message(both))["status"] == "sent" and m)
    fates = {one["address"]: one["status"] for one in found["recipients"]}
    assert fates == {"ada@example.com": "sent", "bob@example.com": "failed"}
    found = until(lambda: (m := message(alone))["status"] == "failed" and m)
    assert "suppressed for every client" in found["recipients"][0]["detail"]
    assert [taken.recipients for taken in sink.taken] == [("ada@example.com",)]


# --- from the command line


def test_the_command_line_keeps_lists(settings_of, start_role, free_port, client, tmp_path, capsys, monkeypatch):
    from mailboat import cli

    api = start_role("api", settings_of(port=free_port()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAILBOAT_URL", api.url)
    for name, value in (("KEY", client.key), ("SECRET", client.secret)):
        monkeypatch.setenv(f"MAILBOAT_API_{name}", value)
    monkeypatch.setenv("MAILBOAT_ADMIN_TOKEN", "admin-token")

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(["suppression", *words])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    assert run("add", "ada@example.com", "--reason", "complaint", "--output", "json")[0] == 0
    assert run("add", "all@example.com", "--global")[0] == 0
    assert "complaint" in run("get", "ada@example.com")[1]
    listed = msgspec.json.decode(run("list", "--global", "--output", "json")[1])
    assert [item["address"] for item in listed] == ["all@example.com"]
    many = "address,reason\n" + "".join(f"a{n:05}@example.com,bounce\n" for n in range(6000)) + "nobody,bounce\n"
    (tmp_path / "many.csv").write_text(many)
    status, out, err = run("import", "many.csv", "--output", "json")
    assert status == 1
    assert "1 lines were refused" in err
    answer = msgspec.json.decode(out)
    assert (answer["imported"], answer["faults"][0]["line"]) == (6000, 6002)
    status, out, _ = run("export", "--format", "csv")
    assert (status, len(out.splitlines())) == (0, 6002)
    assert run("export", "--to", str(tmp_path / "out.jsonl"))[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 6001
    assert run("remove", "ada@example.com")[0] == 0
    assert run("remove", "ada@example.com")[0] == 1
    assert run("add", "nobody")[0] == 1
