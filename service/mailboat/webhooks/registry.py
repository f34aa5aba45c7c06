"""Which kinds of provider send webhooks. A new one is one file and one word in KINDS."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from mailboat.webhooks.base import Webhook

KINDS = ("ses", "sendgrid", "mailgun", "postmark")


def of(kind: str) -> Webhook:
    """The kind's module, loaded when it is asked for. Raises KeyError for a kind without webhooks."""
    if kind not in KINDS:
        raise KeyError(kind)
    return cast("Webhook", importlib.import_module(f"mailboat.webhooks.{kind}"))
