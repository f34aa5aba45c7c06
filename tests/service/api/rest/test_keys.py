"""Who may call: keys, their end, and how fast every process hears of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

WRONG = {
    "no key at all": {},
    "no secret": {"X-Api-Secret": None},
    "no key": {"X-Api-Key": None},
    "another secret": {"X-Api-Secret": "guess"},
    "another key": {"X-Api-Key": "mb_guess"},
    "an empty secret": {"X-Api-Secret": ""},
    "an endless secret": {"X-Api-Secret": "x" * 5000},
    "a secret longer than bcrypt reads": {"X-Api-Secret": "x" * 100},
    "an endless key": {"X-Api-Key": "x" * 5000},
    "a secret in another alphabet": {"X-Api-Secret": b"\xfc\xdf"},
    "SQL": {"X-Api-Key": "' or 1=1 --"},
}


def headers_of(client: Any, changes: dict[str, Any]) -> dict[str, Any]:
    given = client.headers | changes if changes else {}
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture
def send(http: Any, body_of: Any) -> Any:
    """send(headers, to=api): the status of one POST /v1/send."""

    def send(headers: Any, to: Any = None) -> int:
        url = f"{to.url}/v1/send" if to else "/v1/send"
        status: int = http.post(url, json=body_of(), headers=headers).status_code
        return status

    return send


@pytest.mark.parametrize("path", ["/v1/send", "/v1/messages"])
@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_pair_gets_the_same_answer(name, path, http, client, body_of, stored, problem):
    method, body = ("POST", body_of()) if path == "/v1/send" else ("GET", None)
    answer = http.request(method, path, json=body, headers=headers_of(client, WRONG[name]))
    members = problem(answer, 401, "unauthorized")
    assert members["detail"].startswith("The key or its secret is wrong, expired or revoked.")
    assert answer.headers["WWW-Authenticate"] == "ApiKey"
    assert stored() == 0


def test_a_wrong_guess_does_not_lock_the_right_pair_out(client, send):
    assert send(client.headers) == 202
    assert send(client.headers | {"X-Api-Secret": "guess"}) == 401
    assert send(client.headers) == 202


def test_a_key_belongs_to_its_client_alone(client, new_client, caller, http, body_of):
    message_id = caller.post("/v1/send", json=body_of()).json()["id"]
    other = new_client()
    assert http.get(f"/v1/messages/{message_id}", headers=other.headers).status_code == 404
    assert http.post(f"/v1/messages/{message_id}/cancel", headers=other.headers).status_code == 404
    assert http.get("/v1/messages", headers=other.headers).json()["items"] == []
    assert caller.get(f"/v1/messages/{message_id}").status_code == 200


@pytest.fixture(scope="module")
def second_api(start_module_role: Any, api: Any, api_settings: Any, free_port: Any) -> Any:
    """Another process over the same database."""
    import msgspec

    return start_module_role("api", msgspec.structs.replace(api_settings, port=free_port()))


@pytest.mark.parametrize("act", ["revoke", "suspend"])
def test_what_ends_a_key_ends_it_at_once_in_every_process(act, api, second_api, admin, client, send, eventually, until):
    for process in (api, second_api):
        until(lambda process=process: send(client.headers, process) == 202)
        assert send(client.headers, process) == 202
    place = f"/admin/clients/{client.namespace}/{client.name}"
    path, status = (f"{place}/keys/{client.key}/revoke", 401) if act == "revoke" else (f"{place}/suspend", 403)
    assert admin.post(path).status_code == 200
    until(lambda: send(client.headers, second_api) == status)
    assert [send(client.headers, process) for process in (api, second_api)] == [status, status]


def test_a_change_made_while_nobody_listened_is_seen_too(api, client, send, query, until):
    """The connection that listens is cut, and the key revoked before it is back."""
    assert send(client.headers) == 202
    ((listener,),) = query(
        "select pid from pg_stat_activity where application_name = 'mailboat-listen' and datname = current_database() "
        "order by backend_start limit 1"
    )
    query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mailboat-listen' "
          "and datname = current_database()")  # fmt: skip
    until(lambda: not query("select from pg_stat_activity where pid = $1", listener))
    query("update client_keys set revoked_at = now() where key = $1", client.key)
    assert send(client.headers) == 401


def test_a_suspended_client_is_told_so_and_may_go_on_when_resumed(
    admin, client, caller, body_of, problem, until, stored
):
    place = f"/admin/clients/{client.namespace}/{client.name}"
    assert caller.post("/v1/send", json=body_of()).status_code == 202
    admin.post(f"{place}/suspend")
    until(lambda: caller.get("/v1/messages").status_code == 403)
    problem(caller.post("/v1/send", json=body_of()), 403, "client_suspended")
    problem(caller.get("/v1/messages"), 403, "client_suspended")
    assert stored() == 1
    admin.post(f"{place}/resume")
    until(lambda: caller.post("/v1/send", json=body_of()).status_code == 202)


def test_a_key_ends_by_itself_when_its_time_is_over(admin, client, send, until):
    place = f"/admin/clients/{client.namespace}/{client.name}"
    made = admin.post(f"{place}/keys", json={"expires_in_seconds": 1.0}).json()
    headers = {"X-Api-Key": made["key"], "X-Api-Secret": made["secret"]}
    assert send(headers) == 202
    until(lambda: send(headers) == 401)
    assert {key["key"]: key["state"] for key in admin.get(f"{place}/keys").json()}[made["key"]] == "expired"


def test_after_a_rotation_both_keys_work_until_the_overlap_ends(admin, client, send, until):
    place = f"/admin/clients/{client.namespace}/{client.name}"
    assert send(client.headers) == 202
    made = admin.post(f"{place}/keys/rotate", json={"overlap_seconds": 1.0}).json()
    new = {"X-Api-Key": made["key"], "X-Api-Secret": made["secret"]}
    assert [send(client.headers), send(new)] == [202, 202]
    until(lambda: send(client.headers) == 401)
    assert send(new) == 202
    last = admin.post(f"{place}/keys/rotate", json={"overlap_seconds": 0}).json()
    until(lambda: send(new) == 401)
    assert send({"X-Api-Key": last["key"], "X-Api-Secret": last["secret"]}) == 202


def test_the_secret_is_nowhere_but_in_the_answer_that_made_it(admin, client, api, query):
    place = f"/admin/clients/{client.namespace}/{client.name}"
    made = admin.post(f"{place}/keys").json()
    assert made["secret"] not in admin.get(f"{place}/keys").text
    ((kept,),) = query("select secret_hash from client_keys where key = $1", made["key"])
    assert kept.startswith("$2b$")
    assert made["secret"] not in str(query("select detail from audit"))
    httpx.get(f"{api.url}/v1/messages", headers={"X-Api-Key": made["key"], "X-Api-Secret": made["secret"]})
    assert made["secret"] not in api.log.read_text()


def test_a_lower_rate_is_in_force_at_once(admin, client, caller, body_of, until):
    assert caller.post("/v1/send", json=body_of()).status_code == 202
    place = f"/admin/clients/{client.namespace}/{client.name}"
    admin.patch(place, json={"rate_per_minute": 1, "rate_burst": 1})
    until(lambda: caller.post("/v1/send", json=body_of()).status_code == 429)
