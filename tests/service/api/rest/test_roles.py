"""Viewers look and change nothing, by the API as by the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from mailboat import dashboard
from mailboat.api.app import create
from mailboat.api.document import METHODS
from mailboat.dashboard import guard
from mailboat.dashboard.session import COOKIE, Session, Sessions
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings, load

ADMIN, VIEWER = "admin-token", "viewer-token"
SOME = "00000000-0000-7000-8000-000000000000"
LOOK = (
    "messages", "clients", "clients/default/{name}", "templates", "providers", "held", "dead-letters", "suppressions",
    "webhooks", "audit", "inbox", "welcome",
)  # fmt: skip


@pytest.fixture(scope="module")
def api_settings(
    dsn: str, redis_url: str, templates: Path, quick_settings: Any, free_port: Any, tmp_path_factory: Any
) -> Settings:
    client_file = tmp_path_factory.mktemp("up") / "client.json"
    client_file.write_text('{"api_key": "mb_4F7RW1QD", "api_secret": "the-secret-of-up"}')
    settings: Settings = quick_settings(
        database_url=dsn,
        redis_url=redis_url,
        templates=str(templates),
        port=free_port(),
        dashboard="login",
        admin_token=ADMIN,
        viewer_token=VIEWER,
        client_file=str(client_file),
    )
    return settings


def headers(session: Session) -> dict[str, str]:
    """What a browser sends from our own page, and a program beside it."""
    sessions = Sessions(ADMIN, VIEWER)
    cookie = sessions.cookie(session)
    return {
        "Cookie": f"{COOKIE}={cookie}",
        "X-CSRF-Token": sessions.csrf(cookie),
        "Sec-Fetch-Site": "same-origin",
        "Authorization": f"Bearer {VIEWER if session.role == 'viewer' else ADMIN}",
    }


@pytest.fixture
def viewer(api: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, headers=headers(Session("viewer")), timeout=30) as http:
        yield http


def acts(settings: Settings) -> list[tuple[str, str]]:
    """Every route of the application that may change something, by method and path."""
    stub: Any = SimpleNamespace(
        settings=settings, pool=None, feed=dashboard.Feed(None), catalog=None, doorbell=None  # type: ignore[arg-type]
    )  # fmt: skip
    routes = {
        (method, str(route.path))
        for route in iter_route_contexts(create(stub).routes)
        for method in route.methods or ()
        if method.lower() in METHODS and method not in guard.SAFE
    }
    assert {"/ui/suppressions", "/admin/clients", "/v1/send", "/emails"} <= {path for _, path in routes}
    return sorted(routes)


def test_no_route_that_changes_anything_lets_a_viewer_pass(viewer: httpx.Client, api_settings: Settings) -> None:
    let_pass = []
    for method, path in acts(api_settings):
        answer = viewer.request(method, re.sub(r"\{[^}]*\}", SOME, path))
        if path.startswith("/admin/"):
            refused = answer.status_code == 403 and answer.json()["code"] == "role_required"
        elif path.startswith("/ui"):
            refused = answer.status_code == 403 and "needs the role admin" in answer.text
        else:  # for clients: a viewer is none
            refused = answer.status_code in (401, 403)
        if not refused:
            let_pass.append((method, path, answer.status_code))
    assert {path for _, path, _ in let_pass} == guard.HARMLESS
    assert viewer.get("/admin/suppressions").json()["items"] == []


def test_a_viewer_sees_what_is_there_and_no_way_to_change_it(viewer: httpx.Client, client: Any, admin: Any) -> None:
    assert admin.post("/admin/suppressions", json={"address": "ada@example.com"}).status_code in (200, 201)
    assert viewer.get("/admin/clients").status_code == 200
    assert viewer.head("/admin/clients").status_code == 200
    for path in LOOK:
        page = viewer.get("/ui/" + path.format(name=client.name))
        assert page.status_code == 200, path
        acting = set(re.findall(r'(?:hx-post|hx-delete|hx-put|hx-patch)="([^"]*)"', page.text)) - {"/ui/logout"}
        assert acting == set(), path
        assert 'method="post"' not in page.text.lower(), path
        assert "the-secret-of-up" not in page.text
    suppressions, with_acts = viewer.get("/ui/suppressions"), admin.get(
        "/ui/suppressions", headers=headers(Session("admin"))
    )  # fmt: skip
    assert "ada@example.com" in suppressions.text
    assert "hx-post" in with_acts.text
    assert "the-secret-of-up" in admin.get("/ui/welcome", headers=headers(Session("admin"))).text


def test_who_acts_is_in_the_audit_by_name(api: Any, query: Any) -> None:
    act = {"headers": headers(Session("admin", "ada@example.com")), "timeout": 30}
    httpx.post(f"{api.url}/ui/suppressions", data={"address": "eve@example.com"}, **act).raise_for_status()
    ((actor,),) = query("select actor from audit where action = 'suppression.add' and subject = 'eve@example.com'")
    assert actor == "dashboard, ada@example.com"


def test_the_two_tokens_differ() -> None:
    with pytest.raises(ConfigurationError, match="MAILBOAT_VIEWER_TOKEN"):
        load({"MAILBOAT_ADMIN_TOKEN": "one", "MAILBOAT_VIEWER_TOKEN": "one"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/ui/templates?after=x", 422), ("POST", "/ui/nowhere", 404), ("GET", "/ui/nowhere", 404),
     ("PUT", "/ui/messages", 404)],
)  # fmt: skip
def test_whatever_goes_wrong_in_the_dashboard_is_a_page(api: Any, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, api.url + path, headers=headers(Session("admin")), timeout=30)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>" in answer.text
