"""What the pool and a render process say to each other: msgpack, each message after its length in four bytes.

The pool sends a frame, which is a list of steps. The process answers every step as soon as it is done, in order.
"""

from __future__ import annotations

import msgspec

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources

HEADER = 4
LARGEST_ANSWER = 64 << 20  # of an honest process: output and artifacts are capped far below


class Define(msgspec.Struct, frozen=True, array_like=True, tag="define"):
    """Get a revision ready, from its artifact if there is one, else from its sources. Answer: Defined or Failed."""

    digest: str
    engine: str
    sources: Sources | None
    artifact: bytes | None


class Render(msgspec.Struct, frozen=True, array_like=True, tag="render"):
    """Render one mail. Answer: Done, Failed, or Unknown if the process has forgotten the revision."""

    digest: str
    engine: str
    data: bytes
    locale: str | None
    thorough: bool = False


class Defined(msgspec.Struct, frozen=True, array_like=True, tag="defined"):
    """`artifact` is there if the process compiled it."""

    artifact: bytes | None


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    rendered: Rendered


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A TemplateFault. `spent`: a limit was hit on the way, so the process should not be used again."""

    message: str
    file: str
    line: int
    column: int
    spent: bool


class Unknown(msgspec.Struct, frozen=True, array_like=True, tag="unknown"):
    pass


Step = Define | Render
Answer = Defined | Done | Failed | Unknown

frames: msgspec.msgpack.Decoder[list[Step]] = msgspec.msgpack.Decoder(list[Step])
answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_encoder = msgspec.msgpack.Encoder()


def pack(message: list[Step] | Answer) -> bytearray:
    """A message with its length before it. Raises UnicodeEncodeError for text that is not valid Unicode."""
    buffer = bytearray(HEADER)
    _encoder.encode_into(message, buffer, HEADER)
    buffer[:HEADER] = (len(buffer) - HEADER).to_bytes(HEADER, "little")
    return buffer
