"""What is worth a warning in a rendered mail."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.render import markup

GMAIL_CLIPS = 102 * 1024
"""Bytes of HTML above which Gmail hides the rest behind a link."""

PREVIEW_WITHIN = 4000
"""Characters from the beginning of <body> in which preview text is looked for."""
MOST_LISTED = 5
_NO_RULE = "There is no rule for class "

# What mail programs that many people use (Outlook on Windows above all, Gmail) leave out, by https://www.caniemail.com.
_UNSUPPORTED = (
    (re.compile(r"(?<![\w-])display\s*:\s*(?:inline-)?(?:flex|grid)\b"), "`display: flex` and `grid`"),
    (re.compile(r"(?<![\w-])position\s*:\s*(?:absolute|fixed|sticky|relative)\b"), "`position`"),
    (re.compile(r"(?<![\w-])(?:grid(?:-[\w-]+)?|place-[\w-]+)\s*:"), "CSS grid"),
    (re.compile(r"(?<![\w-])(?:animation|transition)(?:-[\w-]+)?\s*:"), "animations and transitions"),
    (
        re.compile(r"(?<![\w-])(?:transform|filter|clip-path|mask|object-fit|object-position)\s*:"),
        "`transform`, `filter`",
    ),
    (re.compile(r"\b(?:var|calc|min|max|clamp|env)\("), "`var()` and `calc()`"),
    (re.compile(r"\b(?:oklch|oklab|lch|lab|color-mix|color)\("), "colours as `oklch()`"),
    (re.compile(r"(?<![\w-])(?:margin|padding|border|inset)-(?:inline|block)(?:-[\w-]+)?\s*:"), "logical properties"),
    (re.compile(r"@(?:import|supports|layer|container|property)\b"), "`@import`, `@supports` and `@layer`"),
    (re.compile(r"(?<![\w-])[\d.]+(?:vw|vh|vmin|vmax|dvh|svh)\b"), "viewport units"),
)
_STYLE = re.compile(r"""\sstyle\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_CLASS = re.compile(r"""<[^<>]*?\sclass\s*=\s*(?:"([^"<>]+)"|'([^'<>]+)')""", re.IGNORECASE)
_SELECTOR = re.compile(r"\.(-?[_a-zA-Z][\w-]*)")
_ELEMENT = re.compile(r"<(script|form|video|audio|iframe|object|embed|svg|link)\b", re.IGNORECASE)
_TAG = re.compile(r"([^<>]*)>([^<]*)")
_HIDDEN = re.compile(r"display\s*:\s*none|\bhidden\b|data-skip-in-text", re.IGNORECASE)
_IMAGE = re.compile(r"<img\b", re.IGNORECASE)
_ALT = re.compile(r"\salt\b", re.IGNORECASE)
_ADDRESS = re.compile(r"""\s(src|background|href)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_ABSOLUTE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|[#%{\[<]|\Z)", re.IGNORECASE)
"""An address with its scheme, a place in the mail itself, or what the provider puts an address for."""


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


def thorough(rendered: Rendered) -> Rendered:
    """The mail with the warnings that take time to find: for a person who looks at it, not for each mail."""
    html = rendered.html or ""
    css = "\n".join([*_sheets(html), *(found[1] or found[2] or "" for found in _STYLE.finditer(html))]).lower()
    found = [*rendered.warnings]
    if not rendered.subject and not any("`subject`" in each for each in found):
        found.append("The template has no `subject`, so the mail has none.")
    if not (rendered.text or "").strip() and not _IMAGE.search(html):
        found.append("The mail is empty: the template renders no text and no image.")
    elif html and not has_preview(html):
        found.append("The mail has no preview text: many programs show its first words beside the subject.")
    found += [f"Some mail programs do not know {what}." for rule, what in _UNSUPPORTED if rule.search(css)][
        :MOST_LISTED
    ]
    elements = sorted({name.lower() for name in _ELEMENT.findall(_without_comments(html))})
    if elements:
        found.append(f"Mail programs leave out {', '.join(f'<{name}>' for name in elements)}.")
    found += _relative(html)
    found += [f"{_NO_RULE}{name!r}." for name in _bare_classes(html, found)][:MOST_LISTED]
    return Rendered(rendered.subject, rendered.html, rendered.text, tuple(dict.fromkeys(found)))


def placed(rendered: Rendered, sources: Sources) -> Rendered:
    """The mail with a place for each class that has no rule: where a source first has it as a word."""
    return msgspec.structs.replace(rendered, warnings=tuple(_placed(each, sources) for each in rendered.warnings))


def _placed(warning: str, sources: Sources) -> str:
    if not warning.startswith(_NO_RULE):
        return warning
    name = ast.literal_eval(warning.removeprefix(_NO_RULE).removesuffix("."))
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    for file in sorted(sources.files, key=lambda each: each != sources.entry):
        if found := word.search(sources.files[file]):
            line, column = markup.place(sources.files[file], found.start())
            return f"{file}:{line + sources.first_line.get(file, 1) - 1}:{column}: {warning[0].lower()}{warning[1:]}"
    return warning


def _bare_classes(html: str, found: list[str]) -> Iterator[str]:
    """Classes that no style sheet names, misspelt ones of Tailwind above all; those that `found` names are known."""
    known = {name.lower() for sheet in _sheets(html) for name in _SELECTOR.findall(sheet)}
    for name in dict.fromkeys(word for value in _CLASS.finditer(html) for word in (value[1] or value[2]).split()):
        if name.lower() not in known and not any(repr(name) in each for each in found):
            yield name


def _relative(html: str) -> Iterator[str]:
    """Of pictures and of links each a sentence, if there are relative ones: a mail has no address of its own."""
    relative: dict[str, str] = {}
    for found in _ADDRESS.finditer(_without_comments(html)):
        address = found[2] or found[3] or ""
        if not _ABSOLUTE.match(address):
            relative.setdefault("a link" if found[1].lower() == "href" else "an image", address)
    for what, address in relative.items():
        yield f"The address of {what} is relative, {address[:100]!r}: begin it with https:// and a host."


def has_preview(html: str) -> bool:
    """Whether the first words of <body> are hidden: that is how preview text is written."""
    html = _without_comments(html)
    _, tag, body = html.partition("<body")
    for found in _TAG.finditer(body if tag else html, 0, PREVIEW_WITHIN):
        if _HIDDEN.search(found[1]):
            return True
        if found[2].strip():
            return False
    return False


def _sheets(html: str) -> Iterator[str]:
    for part in re.split("<style", html, flags=re.IGNORECASE)[1:]:
        yield part.partition("<")[0].partition(">")[2]


def _without_comments(html: str) -> str:
    first, *rest = html.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)
