"""Clients and keys in an administrator's hands."""

from __future__ import annotations

from typing import Any

import pytest


def test_only_the_admin_token_opens_the_admin_side(http, caller, admin, problem):
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "admin-token-"}, {"X-Admin-Token": "x"}):
        answer = http.get("/admin/clients", headers=headers)
        problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    problem(caller.get("/admin/clients"), 401, "unauthorized")
    assert admin.get("/admin/clients").status_code == 200
    assert http.get("/admin/clients", headers={"Authorization": "bearer admin-token"}).status_code == 200
    assert http.get("/admin/clients", headers={"X-Admin-Token": "admin-token"}).status_code == 200


def test_a_client_is_made_shown_changed_and_audited(admin, query):
    made = admin.post("/admin/clients", json={"name": "shop", "senders": ["Shop <a@shop.example>"], "quota_monthly": 9})
    assert made.status_code == 201
    shown = made.json()
    assert (shown["namespace"], shown["suspended"], shown["lane"], shown["on_uncertain"]) == (
        "default",
        False,
        "normal",
        "resend",
    )
    changed = admin.patch("/admin/clients/default/shop", json={"lane": "high", "quota_monthly": None}).json()
    assert (changed["lane"], changed["quota_monthly"], changed["senders"]) == ("high", None, ["Shop <a@shop.example>"])
    assert admin.get("/admin/clients/default/shop").json() == changed
    acts = query("select action, actor from audit where subject = 'default/shop' order by id")
    assert [tuple(act) for act in acts] == [("client.create", "admin"), ("client.update", "admin")]


def test_a_name_is_taken_once_per_namespace(admin, problem):
    assert admin.post("/admin/clients", json={"name": "twice"}).status_code == 201
    problem(admin.post("/admin/clients", json={"name": "twice"}), 409, "already_exists", "name")
    assert admin.post("/admin/clients", json={"name": "twice", "namespace": "other"}).status_code == 201


def test_a_route_to_nowhere_is_warned_of(admin, query):
    made = admin.post("/admin/clients", json={"name": "lost", "namespace": "shop", "route": ["ses=10", "inbox"]})
    assert made.status_code == 201
    (warning,) = made.json()["warnings"]
    assert warning.startswith(
        "The route names 'ses', and namespace shop has no such EmailProvider: mail takes the others"
    )
    assert admin.get("/admin/clients/shop/lost").json()["warnings"] == [warning]
    query("insert into providers (namespace, name, kind, spec) values ('shop', 'ses', 'inbox', '{}')")
    assert admin.get("/admin/clients/shop/lost").json()["warnings"] == []
    changed = admin.patch("/admin/clients/shop/lost", json={"route": ["relay"]})
    assert "its mail has nowhere to go" in changed.json()["warnings"][0]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"name": None}, "missing_field", "name"),
    "a name with capitals": ({"name": "Shop"}, "invalid_field", "name"),
    "a name with a slash": ({"name": "a/b"}, "invalid_field", "name"),
    "a name with a line break": ({"name": "shop\n"}, "invalid_field", "name"),
    "an endless name": ({"name": "a" * 64}, "invalid_field", "name"),
    "a sender that is none": ({"senders": ["nobody"]}, "invalid_field", "senders"),
    "a sender with a line break": ({"senders": ["a@b.c\r\nBcc: d@e.f"]}, "invalid_field", "senders"),
    "a pattern that covers nothing": ({"senders": ["*@*@b.c"]}, "invalid_field", "senders"),
    "a template pattern that is none": ({"templates": ["../*"]}, "invalid_field", "templates"),
    "a provider that is none": ({"route": ["SMTP!"]}, "invalid_field", "route[0]"),
    "a weight that is none": ({"route": ["smtp=90", "ses=-1"]}, "invalid_field", "route[1]"),
    "a provider twice": ({"route": ["smtp=90", "smtp=10"]}, "invalid_field", "route"),
    "a lane that is none": ({"lane": "urgent"}, "invalid_field", "lane"),
    "no messages a minute": ({"rate_per_minute": 0}, "invalid_field", "rate_per_minute"),
    "a rate beyond integers": ({"rate_burst": 10**30}, "invalid_field", "rate_burst"),
    "a negative quota": ({"quota_monthly": -1}, "invalid_field", "quota_monthly"),
    "a quota beyond integers": ({"quota_monthly": 10**30}, "invalid_field", "quota_monthly"),
    "a policy that is none": ({"on_uncertain": "hope"}, "invalid_field", "on_uncertain"),
    "an unknown field": ({"colour": "red"}, "unknown_field", "colour"),
    "the id": ({"id": 7}, "unknown_field", "id"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_client_with_a_fault_is_not_made(name, admin, problem, query):
    changes, code, field = WRONG[name]
    body = {k: v for k, v in ({"name": "faulty"} | changes).items() if v is not None}
    problem(admin.post("/admin/clients", json=body), 422, code, field)
    assert query("select from clients where name = 'faulty'") == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "missing_field"),
        (b"{", 400, "malformed_json"),
        (b"[" * 100_000, 400, "too_deep"),
        (b'{"name": ' * 20_000, 400, "too_deep"),
        (b"\xff", 400, "malformed_json"),
        (b'{"rate_burst": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
        (b'{"name": "\\ud800"}', 422, "invalid_field"),
    ],
)
def test_a_body_that_is_no_json_is_refused(body, status, code, admin):
    answer = admin.post("/admin/clients", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/suspend"),
        ("POST", "/resume"),
        ("POST", "/keys"),
        ("GET", "/keys"),
        ("POST", "/keys/rotate"),
        ("POST", "/keys/mb_1/revoke"),
    ],
)
@pytest.mark.parametrize("client", ["nobody", "no%00body", "%27%20or%201=1"])
def test_a_client_that_is_not_there_is_404(method, path, client, admin, problem):
    body = {} if method == "PATCH" else None
    problem(admin.request(method, f"/admin/clients/default/{client}{path}", json=body), 404, "not_found")


def test_the_key_of_another_client_cannot_be_revoked_through_this_one(admin, new_client, problem, query):
    one, other = new_client(), new_client()
    problem(admin.post(f"/admin/clients/default/{one.name}/keys/{other.key}/revoke"), 404, "not_found")
    problem(admin.post(f"/admin/clients/default/{one.name}/keys/a%00b/revoke"), 404, "not_found")
    assert query("select revoked_at from client_keys where key = $1", other.key)[0][0] is None


def test_pages_of_clients_are_in_order_and_complete(admin):
    for number in range(7):
        admin.post("/admin/clients", json={"name": f"page-{number}", "namespace": "pages"})
    found: list[str] = []
    after = None
    while True:
        page = admin.get("/admin/clients", params={"limit": 3} | ({"after": after} if after else {})).json()
        found += [f"{item['namespace']}/{item['name']}" for item in page["items"]]
        if (after := page["next"]) is None:
            break
    assert found == sorted(found)
    assert [name for name in found if name.startswith("pages/")] == [f"pages/page-{n}" for n in range(7)]


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("limit", 501), ("after", "nonsense"), ("after", "a/b/c")])
def test_a_page_that_is_none_is_refused(name, value, admin, problem):
    problem(admin.get("/admin/clients", params={name: value}), 422, "invalid_field", name)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("keys", {"expires_in_seconds": 0}, "expires_in_seconds"),
        ("keys", {"expires_in_seconds": 1e300}, "expires_in_seconds"),
        ("keys", {"forever": True}, "forever"),
        ("keys/rotate", {"overlap_seconds": -1}, "overlap_seconds"),
        ("keys/rotate", {"overlap_seconds": "a day"}, "overlap_seconds"),
    ],
)
def test_a_key_with_a_fault_is_not_made(path, body, field, admin, client, query):
    answer = admin.post(f"/admin/clients/default/{client.name}/{path}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert len(query("select from client_keys where client_id = $1", client.id)) == 1
