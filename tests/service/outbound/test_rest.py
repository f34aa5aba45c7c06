"""Webhook endpoints and providers over REST and the command line, on a real API."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mailboat.declare.seal import new_key

PATH = "/v1/webhook-endpoints"


@pytest.fixture
def api(start_role: Any, settings_of: Any, free_port: Any) -> Any:
    return start_role("api", settings_of(port=free_port(), sealing_key=new_key(), smtp_url="smtp://127.0.0.1:1"))


@pytest.fixture
def call(api: Any, client: Any) -> Callable[..., httpx.Response]:
    """call(method, path, body=None, as_=client)"""

    def call(method: str, path: str, body: Any = None, as_: Any = client) -> httpx.Response:
        return httpx.request(method, api.url + path, json=body, headers=as_.headers, timeout=20)

    return call


def test_an_endpoint_lives_its_life(call: Callable[..., httpx.Response], new_client: Any) -> None:
    made = call("POST", PATH, {"url": "https://shop.example.com/hook", "events": ["bounced"]})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    place = f"{PATH}/{made.json()['id']}"
    assert call("GET", place).json()["events"] == ["bounced"]
    assert "secret" not in call("GET", PATH).json()[0]
    assert call("PATCH", place, {"events": []}).json()["events"] == []
    assert call("POST", f"{place}/rotate").json()["secret"] != made.json()["secret"]
    delivery = call("POST", f"{place}/test").json()["delivery_id"]
    assert call("GET", f"{place}/deliveries").json()["items"][0]["id"] == delivery
    assert call("POST", f"{place}/pause").json()["state"] == "paused"
    assert call("GET", f"{place}/deliveries?state=paused").json()["items"][0]["id"] == delivery
    assert call("POST", f"{place}/test").json()["code"] == "wrong_state"
    assert call("POST", f"{place}/resume").json()["state"] == "active"
    assert call("POST", f"{place}/replay").json() == {"replayed": 0}
    assert call("POST", f"{place}/deliveries/{delivery}/replay").json() == {"replayed": 0}  # it was not told yet
    stranger = new_client("stranger")
    for method, path in (("GET", place), ("DELETE", place), ("POST", f"{place}/rotate"), ("POST", f"{place}/resume")):
        assert call(method, path, as_=stranger).status_code == 404
    assert call("DELETE", place).status_code == 204
    assert call("GET", place).status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "ftp://shop.example.com/"}, "invalid_field"),
        ({"url": "https://user:secret@shop.example.com/"}, "invalid_field"),
        ({"url": "https://shop.example.com/", "events": ["exploded"]}, "invalid_field"),
        ({"url": "https://shop.example.com/\u0000"}, "invalid_field"),
        ({}, "missing_field"),
        ({"url": "https://shop.example.com/", "secret": "mine"}, "unknown_field"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused(call: Any, body: dict[str, Any], code: str) -> None:
    answer = call("POST", PATH, body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_url_is_there_once_and_there_are_ten_at_most(call: Any) -> None:
    for number in range(10):
        assert call("POST", PATH, {"url": f"https://shop.example.com/{number}"}).status_code == 201
    assert call("POST", PATH, {"url": "https://shop.example.com/1"}).json()["code"] == "already_exists"
    assert call("POST", PATH, {"url": "https://shop.example.com/11"}).status_code == 409


def test_a_person_sees_providers_and_switches_them(api: Any, query: Callable[..., Any]) -> None:
    def mailboat(*words: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mailboat", "provider", *words, "--url", api.url, "--token", "admin-token",
             "--output", "json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    query("insert into providers (namespace, name, kind, spec) values ('shop', 'relay', 'smtp', '{\"smtp\": {}}')")
    found = {one["name"]: one for one in mailboat("list")}
    assert found.keys() == {"inbox", "smtp", "shop/relay"}
    assert found["shop/relay"]["circuit"] == "closed"
    opened = mailboat("open", "shop/relay", "--reason", "it eats mail")
    assert (opened["circuit"], opened["held_open"]) == ("open", True)
    listed = {one["name"]: one for one in mailboat("list")}
    assert listed["shop/relay"]["reason"] == "it eats mail"
    assert mailboat("close", "shop/relay")["circuit"] == "closed"
    assert mailboat("test", "inbox")["reachable"] is True
    mailboat("test", "smtp", code=1)
    mailboat("open", "nobody", code=1)
    assert [row[0] for row in query("select action from audit order by id")] == ["provider.open", "provider.close"]
