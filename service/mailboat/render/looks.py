"""What a revision's mails look like: every tag's style, worked out at compile time as far as the sources tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mailboat.domain.revision import Sources
from mailboat.render import inline, markup, tailwind
from mailboat.render.dress import Dresser, Wardrobe
from mailboat.render.markup import Origin
from mailboat.render.tailwind import Baked

_NOTHING = Baked({}, {}, "")


class Look(NamedTuple):
    """`edited`: the files that change, each with the way back.  The rest is for `jinja.Artifact`."""

    edited: dict[str, tuple[str, Origin]]
    wardrobe: Wardrobe = Wardrobe()
    late_css: bool = False
    warnings: tuple[str, ...] = ()


def of(sources: Sources, files: Mapping[str, str]) -> Look:
    """The look of the HTML files of a template. Raises TemplateFault."""
    if not any("<style" in source or "class" in source for source in files.values()):
        return Look({})
    files = {name: markup.NEWLINE.sub("\n", source) for name, source in files.items()}
    css, late = inline.plan(files, sources.entry)
    baked, warnings = _NOTHING, list[str]()
    if tailwind.is_wanted(sources):
        found = tailwind.bake(sources, files)
        baked = found or _NOTHING
        warnings = tailwind.warnings(files, found, sources.first_line) if found else [tailwind.NOT_HERE]
    wardrobe = Wardrobe(css, baked.classes, baked.strings)
    return Look(*_edited(files, wardrobe, baked.head, warnings), late_css=bool(late), warnings=tuple(warnings))


def _edited(
    files: Mapping[str, str], wardrobe: Wardrobe, head: str, warnings: list[str]
) -> tuple[dict[str, tuple[str, Origin]], Wardrobe]:
    """The files that change, and what of the wardrobe is still needed then. Adds to the warnings."""
    dresser, edited = Dresser(wardrobe), dict[str, tuple[str, Origin]]()
    for name, source in files.items():
        edits = list(dresser.edits(source)) if wardrobe.css or wardrobe.classes else []
        if head and (place := tailwind.head_edit(source, head)):
            edits.append(place)
            head = ""
        if edits:
            edited[name] = markup.edited(source, edits)
    if head:
        warnings.append(tailwind.LOST_HEAD)
    return edited, wardrobe if dresser.is_wanted_later else Wardrobe()
