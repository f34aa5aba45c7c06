"""The way out: a URL that passes means to us what it means to the client, and no disguise makes an address public."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.budget import fuzzed

from mailboat import egress
from mailboat.errors import ConfigurationError

HOST = st.sampled_from(["example.com", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "a.b"])
URL = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "https:/", "https:", "ftp://", "//", "javascript:"]),
    st.sampled_from(["", "u@", "u:p@", "x\\@", "%40", "[", "@", "a@b@"]),
    HOST | st.text(max_size=12),
    st.sampled_from(["", ":443", ":8443", ":22", ":0", ":99999", ":x", "::1", ":٣"]),
    st.sampled_from(["", "/", "/a?b=c", "?x", "#y", "/%0d%0aX: y", "/\r\nX: y", "\\@evil.example"])
    | st.text(max_size=12),
)


@fuzzed(300)
@given(URL | st.text(max_size=40))
def test_a_url_is_refused_or_read_alike_by_guard_and_client(url):
    guard = egress.Guard(())
    try:
        egress.check(url)
        guard.check_port(url)
    except egress.Refused as error:
        assert str(error)
        return
    ours, theirs = urlsplit(url), httpcore.URL(url)
    assert theirs.scheme == b"https"
    assert theirs.host.decode().lower() == (ours.hostname or "")
    assert (theirs.port or 443) == (ours.port or 443)
    assert (theirs.port or 443) in egress.PORTS
    assert not set(theirs.target) & set(range(33)), "it could end the line of the request"


@fuzzed(200)
@given(st.ip_addresses(v=4))
def test_no_disguise_makes_an_address_public(address):
    packed = int(address)
    disguises = {
        "mapped": 0xFFFF << 32 | packed,
        "compatible": packed,
        "translated": 0xFFFF << 48 | packed,
        "NAT64": 0x64FF9B << 96 | packed,
        "6to4": 0x2002 << 112 | packed << 80 | 1,
        "Teredo": 0x20010000 << 96 | packed << 64 | packed ^ 0xFFFFFFFF,
    }
    for name, number in disguises.items():
        assert not egress.is_public(ipaddress.IPv6Address(number)), name


@fuzzed(200)
@given(st.ip_addresses())
def test_what_python_calls_private_is_never_public(address):
    private = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert not (private and egress.is_public(address))


@fuzzed(100)
@given(st.lists(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(v=6), min_size=1, max_size=3))
def test_a_name_with_one_address_of_ours_is_not_connected_to(run, addresses):
    """However many public ones stand beside it: the answer of a resolver is the attacker's."""
    guard = egress.Guard(())

    async def resolve(host: str, port: int) -> list[egress.Address]:
        return [*addresses, ipaddress.ip_address("127.0.0.1")]

    guard._resolve = resolve  # type: ignore[method-assign]
    with pytest.raises(egress.Refused, match="not on the open internet"):
        run(guard.connect_tcp("example.com", 443))


@fuzzed(100)
@given(st.text(max_size=30) | st.lists(st.ip_addresses().map(str) | st.text(max_size=8), max_size=3).map(", ".join))
def test_networks_are_read_or_a_fault_of_the_settings(text):
    try:
        egress.networks(text)
    except ConfigurationError as error:
        assert "MAILBOAT_EGRESS_ALLOW" in str(error)
