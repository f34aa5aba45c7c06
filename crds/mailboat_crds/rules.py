"""What a schema cannot say: each CEL rule of the YAML, with the same message, as Python.

A rule sees a part of a manifest as JSON with its defaults filled in, as the API server shows it to CEL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mailboat_crds import models
from mailboat_crds.models import PROVIDER_KINDS, seconds

Part = Mapping[str, Any]
LONGEST_NAME = 63
NAME_TOO_LONG = f"metadata.name has at most {LONGEST_NAME} characters: choose a shorter name"


class Rule(NamedTuple):
    """`holds(new, old)`; a rule with `transition` is about changes and is asked only when there is an old part.

    `field` is the field at fault within the part, "" for the part itself.
    """

    message: str
    holds: Callable[[Part, Part], bool]
    field: str = ""
    transition: bool = False


def _one_kind(new: Part, _: Part) -> bool:
    return sum(kind in new for kind in PROVIDER_KINDS) == 1


def _same_kind(new: Part, old: Part) -> bool:
    return all((kind in new) == (kind in old) for kind in PROVIDER_KINDS)


def _has_credentials(new: Part, _: Part) -> bool:
    return "credentials" in new or not {"sendgrid", "mailgun", "postmark"} & set(new)


RULES: dict[type, tuple[Rule, ...]] = {
    models.Rotation: (
        Rule(
            "interval has to be 1h or longer",
            lambda new, _: "interval" not in new or seconds(new["interval"]) >= 3600,
            "interval",
        ),
        Rule(
            "overlap has to be shorter than interval: shorten one or lengthen the other",
            lambda new, _: "interval" not in new or seconds(new["overlap"]) < seconds(new["interval"]),
            "overlap",
        ),
    ),
    models.EmailTemplateSpec: (
        Rule(
            "exactly one of source and sourceRef has to be set",
            lambda new, _: ("source" in new) != ("sourceRef" in new),
        ),
        Rule(
            "subject is required with engine jinja: set spec.subject",
            lambda new, _: new["engine"] != "jinja" or "subject" in new,
        ),
        Rule(
            "engine cannot be changed: make a new EmailTemplate, then delete this one",
            lambda new, old: new["engine"] == old.get("engine", "jinja"),
            "engine",
            transition=True,
        ),
    ),
    models.EmailProviderSpec: (
        Rule("exactly one of smtp, ses, sendgrid, mailgun, postmark and inbox has to be set", _one_kind),
        Rule(
            "the kind of a provider cannot be changed: make a new EmailProvider and put it into the routes",
            _same_kind,
            transition=True,
        ),
        Rule("credentials.secretRef is required for sendgrid, mailgun and postmark", _has_credentials),
    ),
}
