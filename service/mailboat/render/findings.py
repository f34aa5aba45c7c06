"""What is worth a warning in a rendered mail."""

from __future__ import annotations

import re

GMAIL_CLIPS = 102 * 1024
"""Bytes of HTML above which Gmail hides the rest behind a link."""

_IMAGE = re.compile(r"<img\b", re.IGNORECASE)
_ALT = re.compile(r"\salt\b", re.IGNORECASE)


def warnings(html: str) -> tuple[str, ...]:
    """Sentences for the author; empty when all is well."""
    found = []
    if len(html) * 4 > GMAIL_CLIPS and (size := len(html.encode())) > GMAIL_CLIPS:
        found.append(f"The HTML has {size / 1024:.0f} kB; Gmail clips what is above {GMAIL_CLIPS // 1024} kB.")
    if "<img" in html or "<IMG" in html:
        bare = images_without_alt(html)
        if bare:
            found.append(f"{bare} {'image has' if bare == 1 else 'images have'} no alt text.")
    return tuple(found)


def images_without_alt(html: str) -> int:
    """How many images have no `alt` attribute. An empty one is fine: the image is decoration."""
    bare = end = 0
    for image in _IMAGE.finditer(html):
        if image.start() < end:
            continue
        end = html.find(">", image.end())
        if end < 0:
            break
        bare += _ALT.search(html, image.end(), end) is None
    return bare
