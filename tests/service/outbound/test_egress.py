"""Attacks on the way out: none of them reaches our own network."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mailboat import egress

_INSIDE = """
0.0.0.0 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.8.9.1 168.63.129.16 169.254.169.254
169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1
203.0.113.7 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1
100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254
fe80::1 fec0::1 ff02::1 ff0e::1
"""
OUTSIDE = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
_URLS = """
file:///etc/passwd gopher://127.0.0.1/ ftp://example.com/ //example.com/ https:// https:///path javascript:alert(1)
https://user@example.com/ https://user:pass@example.com/ https://example.com/#part https://example.com:0/
https://example.com:99999/ https://exa\tmple.com/ https://example.com\\@127.0.0.1/ https://exämple.com/
"""
# Everything that getaddrinfo takes for 127.0.0.1, and a name that means it.
LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::1]",
    "0",
]


@pytest.mark.parametrize("address", re.findall(r"\S+", _INSIDE))
def test_no_address_of_our_own_is_public(address: str) -> None:
    assert not egress.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_open_internet_is_public(address: str) -> None:
    assert egress.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", re.findall(r"[^ \n]+", _URLS))
def test_a_url_that_is_no_plain_https_is_refused(url: str) -> None:
    with pytest.raises(egress.Refused):
        egress.check(url)


@pytest.fixture
async def client() -> Any:
    client = egress.Client(seconds=2)
    yield client
    await client.close()


@pytest.fixture
async def here() -> Any:
    """A client that may reach this machine."""
    client = egress.Client(egress.networks("127.0.0.0/8"), seconds=1)
    yield client
    await client.close()


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_loopback_is_reached(
    host: str, client: egress.Client, monkeypatch: pytest.MonkeyPatch, receiver: Any
) -> None:
    monkeypatch.setattr(egress, "PORTS", frozenset({receiver.port}))
    with pytest.raises((egress.Refused, egress.Failed)):
        await client.post(f"https://{host}:{receiver.port}/", {}, b"")
    assert receiver.connections == 0


@pytest.mark.parametrize("url", ["http://example.com/", "https://example.com:22/", "https://example.com:6379/"])
async def test_http_and_odd_ports_are_refused_before_anybody_is_asked(url: str, client: egress.Client) -> None:
    with pytest.raises(egress.Refused, match="port"):
        await client.post(url, {}, b"")


async def test_a_name_is_resolved_once_and_any_bad_address_spoils_it(
    client: egress.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        places = ["93.184.216.34", "169.254.169.254"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in places]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    with pytest.raises(egress.Refused, match=r"169\.254\.169\.254"):
        await client.post("https://rebind.example.com/", {}, b"")
    assert asked == ["rebind.example.com"]


async def test_the_connection_goes_to_the_address_that_was_looked_at(
    here: egress.Client, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, asked = asyncio.get_running_loop(), []
    real = loop.getaddrinfo

    async def resolve(host: str, port: int, **more: Any) -> list[Any]:
        if host != "rebind.example.com":
            return await real(host, port, **more)
        asked.append(host)
        place = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve, raising=False)
    answer = await here.post(f"http://rebind.example.com:{receiver.port}/", {}, b"x")
    assert answer.status == 204
    assert receiver.told[0].headers["host"] == f"rebind.example.com:{receiver.port}"
    assert len(asked) == 1


async def test_redirects_are_answers(here: egress.Client, receiver: Any, reply: Callable[..., bytes]) -> None:
    receiver.answer = lambda _: reply(302, location="http://127.0.0.1:1/inside")
    assert (await here.post(receiver.url, {}, b"")).status == 302
    assert len(receiver.told) == 1


async def test_a_slow_answer_is_given_up(here: egress.Client, receiver: Any) -> None:
    receiver.answer = lambda _: None
    with pytest.raises(egress.Failed, match="within 1 s"):
        await here.post(receiver.url, {}, b"")


async def test_a_huge_answer_is_not_read(here: egress.Client, receiver: Any, reply: Callable[..., bytes]) -> None:
    receiver.answer = lambda _: reply(200, b"x" * 5_000_000)
    answer = await here.post(receiver.url, {}, b"")
    assert len(answer.body) == egress.LARGEST_ANSWER


async def test_no_proxy_of_the_environment_is_asked(
    here: egress.Client, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await here.post(receiver.url, {}, b"")).status == 204


async def test_nonsense_for_an_answer_is_a_failure(here: egress.Client, receiver: Any) -> None:
    receiver.answer = lambda _: b"SSH-2.0-OpenSSH\r\n"
    with pytest.raises(egress.Failed):
        await here.post(receiver.url, {}, b"")
