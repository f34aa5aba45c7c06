"""Who a client may send as."""

from __future__ import annotations

import pytest

from mailboat.delivery import senders
from mailboat.domain import address
from mailboat.domain.address import InvalidAddress

ALLOWED = [
    ("*", "anybody@anywhere.example"),
    ("orders@shop.example", "orders@shop.example"),
    ("Shop <orders@shop.example>", "Another Name <ORDERS@Shop.Example>"),
    ("*@shop.example", "x@shop.example"),
    ("*@shop.example", "x@SHOP.example"),
    ("*@*.shop.example", "x@news.shop.example"),
    ("*@*.shop.example", "x@a.b.shop.example"),
    ("*@bücher.example", "x@xn--bcher-kva.example"),
    ("x@xn--bcher-kva.example", "x@bücher.example"),
]
REFUSED = [
    ("orders@shop.example", "others@shop.example"),
    ("orders@shop.example", "orders@shop.example.evil.example"),
    ("*@shop.example", "x@evilshop.example"),
    ("*@shop.example", "x@news.shop.example"),
    ("*@*.shop.example", "x@shop.example"),
    ("*@*.shop.example", "x@evilshop.example"),
    ("*@shop.example", '"a@shop.example"@evil.example'),
    ("*@straße.example", "x@strasse.example"),
]


@pytest.mark.parametrize(("pattern", "sender"), ALLOWED)
def test_a_pattern_covers(pattern, sender):
    senders.check(pattern)
    assert senders.allowed((pattern,), address.parse(sender))
    assert senders.allowed(("z@z.example", pattern), address.parse(sender))


@pytest.mark.parametrize(("pattern", "sender"), REFUSED)
def test_a_pattern_does_not_cover(pattern, sender):
    assert not senders.allowed((pattern,), address.parse(sender))


def test_nobody_may_send_without_a_pattern():
    assert not senders.allowed((), address.parse("x@shop.example"))
    assert senders.default(()) is None


def test_the_default_is_the_first_pattern_that_is_an_address():
    assert str(senders.default(("*@a.example", "Shop <s@a.example>", "t@a.example"))) == '"Shop" <s@a.example>'
    assert senders.default(("*", "*@a.example")) is None


@pytest.mark.parametrize("pattern", ["", "shop.example", "*@", "*@*", "*@*.", "*x@@a.example", "a@b\n.c"])
def test_a_pattern_that_can_cover_nothing_is_refused(pattern):
    with pytest.raises(InvalidAddress):
        senders.check(pattern)
