"""What becomes of a mail, told by the local part of the recipient's address (`bounce@…`, `bounce+7@…`)."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "accepted", "delivered", "deferred", "bounced", "soft_bounced", "rejected",
    "complained", "unsubscribed", "opened", "clicked",
]  # fmt: skip

OUTCOMES: dict[str, tuple[Kind, ...]] = {
    "bounce": ("bounced",),
    "softbounce": ("soft_bounced",),
    "deferred": ("deferred", "delivered"),
    "reject": ("rejected",),
    "complaint": ("delivered", "complained"),
    "unsubscribe": ("delivered", "unsubscribed"),
    "open": ("delivered", "opened"),
    "click": ("delivered", "opened", "clicked"),
}
"""What follows `accepted`; any other address is `delivered`."""

SILENT = "silent"  # taken, and never heard of again
REFUSED = "refused"  # the API refuses the whole mail
INACTIVE = "inactive"  # Postmark: on its list of bounced addresses


def word(email: str) -> str:
    """The word of an address that decides."""
    return email.partition("@")[0].partition("+")[0].lower()


def of(email: str) -> tuple[Kind, ...]:
    if word(email) == SILENT:
        return ()
    return ("accepted", *OUTCOMES.get(word(email), ("delivered",)))


def refused(emails: list[str]) -> str | None:
    """The first recipient for whose sake the mail is refused."""
    return next((email for email in emails if word(email) == REFUSED), None)
