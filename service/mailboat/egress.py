"""Egress: HTTP to addresses that others chose, without a way into our own network.

A name is resolved once, and the connection goes to the address that was looked at; redirects are not followed, proxies
of the environment not asked. Time and size have limits.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore

from mailboat.errors import ConfigurationError, MailboatError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECONDS = 10.0  # for all of it: name, connection, answer
LARGEST_ANSWER = 16_384  # octets that are read
LONGEST_URL = 2048
PORTS = frozenset({443, 8443})  # any port, and http without s, where MAILBOAT_EGRESS_ALLOW lets us go

_PUBLIC_6 = ipaddress.ip_network("2000::/3")
# Public to Python, but not the open internet: a cloud's own services, addresses of others in disguise.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata
        "168.63.129.16/32",  # Azure's WireServer
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
]


class Refused(MailboatError):
    """We do not go there; the text says why, and names the remedy where there is one."""


class Failed(MailboatError):
    """Nobody answered in time, or not in HTTP."""


Read = Callable[[httpcore.Response], Awaitable[bytes]]


class Answer(NamedTuple):
    """What came back; of the answer to a POST at most LARGEST_ANSWER octets. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def networks(text: str) -> tuple[Network, ...]:
    """The networks of MAILBOAT_EGRESS_ALLOW. Raises ConfigurationError."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"MAILBOAT_EGRESS_ALLOW={text!r}: {error}. Write networks such as 10.20.0.0/16, separated by commas."
        ) from None


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, and no other address in disguise (mapped, NAT64, 6to4, Teredo)."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_6:
        return False
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check(url: str) -> None:
    """What can be told of a URL without asking anybody. Raises Refused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("The URL cannot be read.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Refused("The URL has to begin with https:// and a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("The URL must not have a user, a password or a fragment.")
    if len(url) > LONGEST_URL or any(ord(letter) <= 32 or ord(letter) > 126 or letter == "\\" for letter in url):
        raise Refused(f"The URL has to be at most {LONGEST_URL} ASCII characters without spaces.")
    if port == 0:
        raise Refused("The URL's port is 0.")


class Client:
    """Asks where it may. `allowed` are networks of our own that may be reached all the same."""

    def __init__(self, allowed: Iterable[Network] = (), *, seconds: float = SECONDS) -> None:
        self._guard, self._seconds = Guard(tuple(allowed)), seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=100,
            max_keepalive_connections=0,  # each request looks at the address anew
            network_backend=self._guard,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises Refused and Failed."""
        return await self._ask("POST", url, headers, body, _beginning)

    async def get(self, url: str, headers: Mapping[str, str], take: Callable[[int], None]) -> Answer:
        """All of the answer. `take` is told of octets before they are read on, and may raise to end it.

        Raises Refused and Failed.
        """

        async def whole(response: httpcore.Response) -> bytes:
            return await _whole(response, take)

        return await self._ask("GET", url, headers, None, whole)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, read: Read) -> Answer:
        check(url)
        self._guard.check_port(url)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._pool.stream(
                    method,
                    url,
                    headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                    content=body,
                    extensions={"timeout": timeouts},
                ) as response,
            ):
                return Answer(response.status, _headers(response.headers), await read(response))
        except TimeoutError:
            raise Failed(f"no answer within {self._seconds:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise Failed(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        await self._pool.aclose()


class Guard(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be reached; httpcore asks it for every connection."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed, self._wire = allowed, httpcore.AnyIOBackend()

    def check_port(self, url: str) -> None:
        """Raises Refused for http and odd ports, unless networks of our own are allowed: then addresses decide."""
        parts = urlsplit(url)
        if not self._allowed and (parts.scheme != "https" or (parts.port or 443) not in PORTS):
            raise Refused(f"The URL has to be https:// on port {' or '.join(map(str, sorted(PORTS)))}.")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises Refused, and what httpcore raises."""
        addresses = await self._resolve(host.strip("[]"), port)
        for address in addresses:
            if not self._may_reach(address, port):
                raise Refused(
                    f"{host} is {address}:{port}, which is not on the open internet: add its network to "
                    "MAILBOAT_EGRESS_ALLOW if it has to be reached."
                )
        return await self._wire.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise Refused("a socket in the file system is nobody's URL")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _may_reach(self, address: Address, port: int) -> bool:
        if any(address.version == network.version and address in network for network in self._allowed):
            return True
        return port in PORTS and is_public(address)

    async def _resolve(self, host: str, port: int) -> list[Address]:
        """Every address of the name, each once. Raises httpcore.ConnectError."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved ({error})") from None
        return list(dict.fromkeys(ipaddress.ip_address(place[4][0]) for place in found))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


async def _beginning(response: httpcore.Response) -> bytes:
    """As much of the body as matters; the rest is never read."""
    body = b""
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) >= LARGEST_ANSWER:
            break
    return body[:LARGEST_ANSWER]


async def _whole(response: httpcore.Response, take: Callable[[int], None]) -> bytes:
    """The body to its end, if it is one to be kept."""
    if response.status != 200:
        return b""
    chunks = []
    async for chunk in response.aiter_stream():
        take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)
