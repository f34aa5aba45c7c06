"""Which senders a client may use: exact addresses, `*@domain`, `*@*.domain` or `*`. The first one is the default."""

from __future__ import annotations

from functools import lru_cache

from mailboat.domain import address
from mailboat.domain.address import Address


def default(patterns: tuple[str, ...]) -> Address | None:
    """The From of a message that names none: the first pattern that is an address."""
    for pattern in patterns:
        if "*" not in pattern:
            return address.parse(pattern)
    return None


@lru_cache(4096)
def allowed(patterns: tuple[str, ...], sender: Address) -> bool:
    """Whether one of the patterns covers the sender. Display names do not matter."""
    return any(_covers(pattern, sender) for pattern in patterns)


def _covers(pattern: str, sender: Address) -> bool:
    if pattern == "*":
        return True
    if not pattern.startswith("*@"):
        return address.parse(pattern).key == sender.key
    domain, wanted = address.ascii_domain(sender.domain), pattern[2:].lower()
    if wanted.startswith("*."):
        return domain.endswith("." + address.ascii_domain(wanted[2:]))
    return domain == address.ascii_domain(wanted)


def check(pattern: str) -> None:
    """Raises InvalidAddress when the pattern can cover nothing."""
    if pattern == "*":
        return
    if pattern.startswith("*@"):
        address.parse("x@" + pattern[2:].removeprefix("*."))
    else:
        address.parse(pattern)
