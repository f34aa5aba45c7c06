"""Mailboat with a simulated provider on both sides: mail goes out to it, and its webhooks come in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from mailboat.simulate.mailgun import Mailgun
from mailboat.simulate.postmark import Postmark
from mailboat.simulate.sendgrid import SendGrid
from mailboat.simulate.server import running
from mailboat.simulate.ses import Ses, SesSwitches
from mailboat.simulate.switches import Switches

SIMULATORS = {
    "ses": lambda: Ses(SesSwitches()),
    "sendgrid": lambda: SendGrid(Switches()),
    "mailgun": lambda: Mailgun(Switches()),
    "postmark": lambda: Postmark(Switches()),
}


def manifest(kind: str, url: str, about: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the worker has to know about a simulator, and what the API has to know besides."""
    keys = about
    sends = {
        "ses": lambda: {
            "ses": {"region": "eu-west-1", "configurationSet": "mailboat", "endpoint": url},
            "credentials": {"access-key-id": keys["accessKeyId"], "secret-access-key": keys["secretAccessKey"]},
        },
        "sendgrid": lambda: {"sendgrid": {"endpoint": url}, "credentials": {"api-key": keys["apiKey"]}},
        "mailgun": lambda: {
            "mailgun": {"domain": "mail.example.com", "endpoint": url},
            "credentials": {"api-key": keys["apiKey"]},
        },
        "postmark": lambda: {"postmark": {"endpoint": url}, "credentials": {"server-token": keys["serverToken"]}},
    }[kind]()
    hears = {
        "ses": lambda: {"ses": {"snsOrigin": url}, "webhook": {"topic-arns": keys["topicArn"]}},
        "sendgrid": lambda: {"sendgrid": {}, "webhook": {"public-key": keys["webhookPublicKey"]}},
        "mailgun": lambda: {"mailgun": {}, "webhook": {"signing-key": keys["webhookSigningKey"]}},
        "postmark": lambda: {"postmark": {}, "webhook": {"username": "postmark", "password": "s3cret"}},
    }[kind]()
    return {"name": f"{kind}-eu", **sends}, {"name": f"{kind}-eu", **hears}


class Ship(NamedTuple):
    """Mailboat's API with a client, and the simulator that its mail goes to."""

    url: str
    client: Any
    simulator: str

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}{path}", headers=self.client.headers, timeout=30, **more)

    def send(self, to: str | list[str]) -> httpx.Response:
        return self.call("POST", "/v1/send", json={"to": to, "subject": "Ahoy", "text": "Hello"})

    def message(self, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/messages/{identifier}").json()
        return found

    def switch(self, **switches: Any) -> None:
        assert httpx.put(f"{self.simulator}/_simulator/settings", json=switches).status_code == 200


@pytest.fixture
def ship_of(
    aside: Any,
    settings_of: Callable[..., Any],
    start_role: Callable[..., Any],
    free_port: Callable[[], int],
    client: Any,
    query: Any,
    tmp_path: Path,
    until: Any,
) -> Iterator[Callable[[str], Ship]]:
    """ship_of(kind): API and worker over a simulator of this kind, whose webhooks lead to the API."""
    stack = contextlib.AsyncExitStack()

    def start(kind: str) -> Ship:
        simulator = SIMULATORS[kind]()
        url = aside.run(stack.enter_async_context(running(simulator)))
        sends, hears = manifest(kind, url, simulator.about())
        for name, listed in (("worker", sends), ("api", hears)):
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump([listed]))
        settings = settings_of(port=free_port(), providers_file=str(tmp_path / "api.yaml"), simulators=True)
        api = start_role("api", settings)
        start_role("worker", settings_of(providers_file=str(tmp_path / "worker.yaml")))
        query("update clients set route = array[$1]", sends["name"])
        host = f"postmark:s3cret@{api.url.removeprefix('http://')}" if kind == "postmark" else api.url[7:]
        ship = Ship(api.url, client, url)
        ship.switch(webhookUrl=f"http://{host}/webhooks/{kind}/{sends['name']}")
        if kind == "ses":
            until(lambda: simulator.about()["subscriptionConfirmed"], "the subscription")
        return ship

    yield start
    aside.run(stack.aclose())
