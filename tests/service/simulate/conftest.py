"""Simulators that run, and a webhook that hears them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from types import SimpleNamespace

import httpx
import pytest

from mailboat.simulate.mailgun import Mailgun
from mailboat.simulate.postmark import Postmark
from mailboat.simulate.sendgrid import SendGrid
from mailboat.simulate.server import running
from mailboat.simulate.ses import Ses, SesSwitches
from mailboat.simulate.switches import Switches, changed

SIMULATORS = {
    "ses": lambda **others: Ses(SesSwitches(confirm_first=False), **others),
    "sendgrid": lambda **others: SendGrid(Switches(), **others),
    "mailgun": lambda **others: Mailgun(Switches(), **others),
    "postmark": lambda **others: Postmark(Switches(), **others),
}
MAIL = b"From: Northwind <orders@shop.example.com>\r\nTo: %b\r\nSubject: Receipt\r\n\r\nThank you\r\n"


def sendgrid_body(to):
    return {
        "personalizations": [{"to": [{"email": one} for one in to]}],
        "from": {"email": "orders@shop.example.com"},
        "subject": "Receipt",
        "content": [{"type": "text/plain", "value": "Thank you"}],
        "custom_args": {"mailboat_id": "7"},
    }


def postmark_body(to):
    return {
        "From": "orders@shop.example.com",
        "To": ", ".join(to),
        "Subject": "Receipt",
        "TextBody": "Thank you",
        "Metadata": {"mailboat_id": "7"},
    }


@pytest.fixture
async def simulated():
    """Starts a simulator by its kind; gives it with its URL, a client and `send(*recipients, **changes)`."""
    open_ = []

    async def start(kind, *, switches=None, **others):
        simulator = SIMULATORS[kind](**others)
        simulator.switches = changed(simulator.switches, switches or {})
        serving = running(simulator)
        url = await serving.__aenter__()
        client = httpx.AsyncClient(base_url=url, timeout=10)
        open_.append((serving, client))
        return SimpleNamespace(simulator=simulator, url=url, client=client, send=_sender(kind, client))

    yield start
    for serving, client in open_:
        await client.aclose()
        await serving.__aexit__(None, None, None)


def _sender(kind, client):
    async def sendgrid(*to, key="SG.simulator", **changes):
        body = {**sendgrid_body(to), **changes}
        return await client.post("/v3/mail/send", json=body, headers={"Authorization": f"Bearer {key}"})

    async def postmark(*to, key="simulator-token", **changes):
        body = {**postmark_body(to), **changes}
        return await client.post("/email", json=body, headers={"X-Postmark-Server-Token": key})

    async def mailgun(*to, key="key-simulator", domain="mg.example.com", **changes):
        data = {"to": list(to), "v:mailboat_id": "7", **changes}
        files = {"message": ("m.eml", MAIL % ", ".join(to).encode(), "message/rfc822")}
        return await client.post(f"/v3/{domain}/messages.mime", data=data, files=files, auth=("api", key))

    async def ses(*to, key="simulator-secret", **changes):
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        raw = b64encode(MAIL % ", ".join(to).encode()).decode()
        tags = [{"Name": "mailboat_id", "Value": "7"}]
        body = {"Destination": {"ToAddresses": list(to)}, "Content": {"Raw": {"Data": raw}}, "EmailTags": tags}
        content = httpx.Request("POST", client.base_url, json={**body, **changes}).content
        url = f"{client.base_url}/v2/email/outbound-emails".replace("//v2", "/v2")
        request = AWSRequest("POST", url, data=content, headers={"Content-Type": "application/json"})
        SigV4Auth(Credentials("AKIASIMULATOR", key), "ses", "eu-west-1").add_auth(request)
        return await client.post(url, content=content, headers=dict(request.headers))

    return locals()[kind]


@pytest.fixture
async def webhook():
    """A webhook of ours: `calls` are (path, headers, body); it answers what is in `statuses`, then 200."""
    heard = SimpleNamespace(calls=[], statuses=[], news=asyncio.Event())

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        heard.calls.append((first.split()[1], headers, body))
        status = heard.statuses.pop(0) if heard.statuses else 200
        writer.write(f"HTTP/1.1 {status} Words\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()
        heard.news.set()

    async def until(count):
        async with asyncio.timeout(20):
            while len(heard.calls) < count:
                heard.news.clear()
                await heard.news.wait()
        return heard.calls

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    heard.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    heard.until = until
    yield heard
    server.close()
