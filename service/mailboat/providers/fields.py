"""Parts of a mail as the APIs want them: recipients by kind, tags, and the mark by which events come home."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable

import msgspec

from mailboat.domain.address import Address
from mailboat.domain.message import AttachedFile, Mail
from mailboat.errors import Rejected
from mailboat.providers import mime

MESSAGE_KEY = "mailboat_id"
"""The name under which every provider is told our message id, and under which its events give it back."""

_NOT_A_LABEL = re.compile(r"[^!-~]")


def check(mail: Mail) -> None:
    """Raises Rejected for what cannot be said in a mail, whoever carries it: the rules are those of `mime`."""
    mime.encode(msgspec.structs.replace(mail, attachments=()))


def recipients(mail: Mail) -> dict[str, list[Address]]:
    """The recipients still open by kind (`to`, `cc`, `bcc`), their domains as A-labels. Raises Rejected for none, and
    for a local part that is not ASCII: none of these APIs carries it."""
    wanted = {one.email for one in mail.recipients}
    found: dict[str, list[Address]] = {"to": [], "cc": [], "bcc": []}
    for kind, one in mail.envelope.recipients:
        if one.email in wanted:
            wanted.remove(one.email)
            found[kind].append(wire(one))
    if not any(found.values()):
        raise Rejected("The message has no recipients.")
    return found


def at_most(found: dict[str, list[Address]], most: int, who: str) -> None:
    """Raises Rejected for more recipients than this provider takes in one call."""
    if (count := sum(map(len, found.values()))) > most:
        raise Rejected(f"The message has {count} recipients; {who} takes {most} at most.")


def wire(one: Address) -> Address:
    return Address(mime.addr_spec(one.email), one.name)


def labels(tags: dict[str, str], *, most: int, longest: int) -> list[str]:
    """Tags as words (`flow:checkout`) for providers that know no pairs: printable ASCII, cut to fit."""
    words = dict.fromkeys(_NOT_A_LABEL.sub("_", f"{name}:{value}")[:longest] for name, value in tags.items())
    return list(words)[:most]


def headers(mail: Mail) -> dict[str, str]:
    """Every header that an API has no field for: the Message-ID, ours, and the client's."""
    return {"Message-ID": mail.message_id, **mime.own_headers(mail), **mail.headers}


def base64(file: AttachedFile) -> str:
    return b64encode(file.body).decode()


def one_line(text: str, *, longest: int = 500, secrets: Iterable[str] = ()) -> str:
    """What somebody else said, fit for a log: no line breaks or control characters, cut, and without our secrets."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    text = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * longest]).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
