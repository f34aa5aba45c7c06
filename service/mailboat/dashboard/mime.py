"""Opens an RFC 5322 mail for reading: what a person wants to see of it, whatever state it is in.

Nothing here raises for a broken mail. What the modern parser of the standard library trips over is read once more with
its forgiving old one, and what cannot be decoded is shown as it came.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from html import unescape
from typing import Any

import msgspec

# What the parsers of `email` are known to raise on malformed headers and parts.
BROKEN = (ArithmeticError, AttributeError, LookupError, MessageError, RecursionError, TypeError, ValueError)

_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_REMOTE = re.compile(r"""(?:\bsrc\s*=\s*|\burl\()["']?(?:https?:)?//""", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(head|style|script|title)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Part(msgspec.Struct, frozen=True):
    """A file in a mail: attached, or an image that the HTML shows by its Content-ID."""

    name: str
    type: str
    content: bytes
    cid: str = ""


class Opened(msgspec.Struct, frozen=True, dict=True):
    """A mail, decoded. `headers` keep the mail's order and may repeat; `html` or `text` is None where it has none."""

    headers: tuple[tuple[str, str], ...]
    html: str | None
    text: str | None
    parts: tuple[Part, ...]
    size: int

    @cached_property
    def named(self) -> dict[str, str]:
        """Headers by name as the mail spells it; values of a repeated one are joined with a comma."""
        joined: dict[str, list[str]] = {}
        for name, value in self.headers:
            joined.setdefault(name, []).append(value)
        return {name: ", ".join(values) for name, values in joined.items()}

    def header(self, name: str) -> str:
        """The first header of this name in any case, or ""."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def attachments(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if not (part.cid and part.type.startswith("image/")))

    @property
    def remote(self) -> bool:
        """Does the HTML name pictures on other hosts? They are never loaded."""
        return bool(self.html and _REMOTE.search(self.html))

    @property
    def page(self) -> str:
        """The HTML with its cid: images as data: URLs."""
        images = {part.cid: part for part in self.parts if part.cid and part.type.startswith("image/")}

        def inline(match: re.Match[str]) -> str:
            image = images.get(match[1])
            return f"data:{image.type};base64,{base64.b64encode(image.content).decode()}" if image else match[0]

        return _CID.sub(inline, self.html or "")


def opened(raw: bytes) -> Opened:
    """The mail in these bytes, which may be cut short or malformed."""
    try:
        return _read(BytesParser(policy=policy.default).parsebytes(raw), len(raw))
    except BROKEN:
        return _read(BytesParser(policy=policy.compat32).parsebytes(raw), len(raw))


def first_words(raw: bytes) -> str:
    """The beginning of the text, or else of what the HTML shows; quick, since it leaves the headers alone."""
    try:
        bodies, _ = _sorted(BytesParser(policy=policy.compat32).parsebytes(raw))
    except BROKEN:
        return ""
    html = bodies.get("text/html", "")[:100_000]
    words = bodies.get("text/plain") or unescape(_UNSEEN.sub(" ", html))
    return " ".join(words[:2000].split())[:160]


def _read(message: Message[Any, Any], size: int) -> Opened:
    bodies, parts = _sorted(message)
    headers = tuple((name, _clean(_decoded(value))) for name, value in message.items())
    return Opened(headers, bodies.get("text/html"), bodies.get("text/plain"), tuple(parts), size)


def _sorted(message: Message[Any, Any]) -> tuple[dict[str, str], list[Part]]:
    """The first text and the first HTML by their type, and everything else as files."""
    bodies: dict[str, str] = {}
    parts: list[Part] = []
    for leaf in _leaves(message):
        kind = "text/plain" if leaf.get_content_maintype() == "multipart" else leaf.get_content_type()  # no boundary
        if kind in ("text/plain", "text/html") and kind not in bodies and not _is_file(leaf):
            bodies[kind] = _text(leaf)
        else:
            parts.append(_part(leaf, len(parts) + 1))
    return bodies, parts


def _leaves(message: Message[Any, Any]) -> Iterator[Message[Any, Any]]:
    """The parts that hold something; a forwarded mail counts as one."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _leaves(part)
    else:
        yield message


def _is_file(leaf: Message[Any, Any]) -> bool:
    return leaf.get_content_disposition() == "attachment" or leaf.get_filename() is not None


def _part(leaf: Message[Any, Any], number: int) -> Part:
    cid = str(leaf.get("Content-ID") or "").strip().removeprefix("<").removesuffix(">")
    name = _clean(leaf.get_filename() or f"part-{number}").replace("/", "_").replace("\\", "_")
    return Part(name, leaf.get_content_type(), _bytes(leaf), cid)


def _bytes(leaf: Message[Any, Any]) -> bytes:
    """The content with its transfer encoding undone; of a forwarded mail, the mail."""
    if leaf.is_multipart():
        return b"".join(part.as_bytes() for part in leaf.get_payload() if isinstance(part, Message))
    content = leaf.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(leaf: Message[Any, Any]) -> str:
    content = _bytes(leaf)
    try:
        return content.decode(leaf.get_content_charset("utf-8"), "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _decoded(value: Any) -> str:
    """A header's value in words. The modern policy has undone RFC 2047 already; the old one has not."""
    text = str(value)
    try:
        return str(make_header(decode_header(text))) if "=?" in text else text
    except BROKEN:
        return text


def _clean(text: str) -> str:
    """Unfolded, and without the half surrogates by which `email` carries undecodable bytes."""
    return _SURROGATE.sub("\ufffd", re.sub(r"[ \t]*[\r\n]+[ \t]*|\t", " ", text))
