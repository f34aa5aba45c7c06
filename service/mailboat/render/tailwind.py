"""Tailwind in Jinja templates: what their classes mean is asked of the JavaScript engine once, at compile time.

The engine is in processes of the React pool only, and is not started for a template in which `is_wanted` sees no
Tailwind class. A class that the author's own CSS names is the author's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import dress, limits, markup
from mailboat.render.dress import Meaning
from mailboat.render.markup import Edit, Tag

MOST_WARNINGS = 5
MOST_TURNS = 20
NOT_HERE = "Tailwind classes are left as they are: this process cannot compile them."
LOST_HEAD = "Tailwind classes for screens and states (`sm:`, `hover:`) need a <head>, and there is none."

_CLASS = re.compile(r"""\bclass\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_CODE = re.compile(r"\{[{%]")
_CODE_END = re.compile(r"[%}]\}")
_CODE_MARKS = re.compile(r"\{[{%#][-+]?|[-+]?[}%#]\}")
_STRING = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_SET = re.compile(r"\{%[-+]?\s*set\s+\w+\s*[-+]?%\}")
_BODY = re.compile(r"\{%[-+]?\s*(?:block|macro)\s+(\w+)")
_BODY_END = re.compile(r"\{%[-+]?\s*end(?:block|macro)\b")
_PUT_IN = re.compile(r"\{%[-+]?\s*block\s+(\w+)|\b(\w+)\s*\(")
_INCLUDED = re.compile(r"""\{%[-+]?\s*include\s*["'](?:\.{1,2}/)*([^"']+)["']""")
_SELECTOR = re.compile(r"\.(-?[_a-zA-Z][\w-]*)")
_WORD = re.compile(r"[^\s\"'`<>={}]{1,100}")
_UTILITY = re.compile(
    r"(?:[\w\[\]&@=/().#%,>*-]+:)*!?-?(?:"
    r"(?:block|contents|flex|grid|hidden|inline|table|italic|underline|overline|uppercase|lowercase|capitalize|"
    r"truncate|antialiased|border|rounded|shadow|ring|outline|container|absolute|relative|static|fixed|sticky|visible|"
    r"invisible|isolate|grow|shrink|transition|resize|prose)(?![\w-])|"
    r"(?:accent|align|animate|aspect|auto|backdrop|basis|bg|blur|border|bottom|box|break|brightness|caret|clear|col|"
    r"columns|content|contrast|cursor|decoration|delay|divide|duration|ease|end|fill|flex|float|font|from|gap|"
    r"grayscale|grid|grow|h|hyphens|indent|inline|inset|invert|items|justify|leading|left|line|list|m|mask|max|mb|me|"
    r"min|mix|ml|mr|ms|mt|mx|my|no|not|object|opacity|order|origin|outline|overflow|p|pb|pe|perspective|place|pl|"
    r"pointer|pr|ps|pt|px|py|right|ring|rotate|rounded|row|saturate|scale|scroll|select|self|sepia|shadow|shrink|size|"
    r"skew|space|sr|start|stroke|table|text|to|top|touch|tracking|transform|translate|underline|via|w|whitespace|will|"
    r"z)-[\w\[(]|\[[a-z-]+:[^\s]+\])"
)


class Baked(msgspec.Struct, frozen=True):
    """Single classes, whole `class` attributes, and CSS that has to stand in <head>."""

    classes: dict[str, Meaning]
    strings: dict[str, Meaning]
    head: str


_baked = msgspec.json.Decoder(Baked)


def is_wanted(sources: Sources) -> bool:
    """Whether a class looks like one of Tailwind's. Linear, since it is asked outside of the render processes."""
    if sources.tailwind:
        return True
    own = own_classes(sources.files)
    return any(
        _UTILITY.match(word) and word not in own
        for source in sources.files.values()
        if "class" in source
        for text in (*_class_values(source), *strings(source))
        for word in text.split()
    ) or any(
        _UTILITY.match(word) and word not in own
        for text in put_in(sources.files, (value for each in sources.files.values() for value in _class_values(each)))
        for word in text.split()
    )


def own_classes(files: Mapping[str, str]) -> frozenset[str]:
    """The classes that authors' CSS names."""
    return frozenset(
        name
        for source in files.values()
        for part in source.split("<style")[1:]
        for name in _SELECTOR.findall(part.partition("</style")[0])
    )


def _class_values(source: str) -> Iterator[str]:
    for found in _CLASS.finditer(source):
        yield found[1] or found[2] or found[3] or ""


def strings(source: str) -> Iterator[str]:
    """The strings in Jinja's tags, and what `{% set %}` blocks hold: a class may be any of them."""
    for part in _CODE.split(source)[1:]:
        end = _CODE_END.search(part)
        for found in _STRING.finditer(part, 0, end.start() if end else len(part)):
            yield found[1] or found[2] or ""
    for part in _SET.split(source)[1:]:
        yield part.partition("{%")[0]


def put_in(files: Mapping[str, str], values: Iterable[str]) -> Iterator[str]:
    """What blocks, macros and included files put into these values of `class`, whichever file it stands in."""
    code = "\0".join(value for value in values if "{" in value)
    names = {block or macro for block, macro in _PUT_IN.findall(code)}
    included = set(_INCLUDED.findall(code))
    if not names and not included:
        return
    for file, source in files.items():
        if any(file == name or file.endswith(f"/{name}") for name in included):
            yield _CODE_MARKS.sub(" ", source)
        _, *rest = _BODY.split(source)
        for name, part in zip(rest[::2], rest[1::2], strict=True):
            if name in names:
                yield _CODE_MARKS.sub(" ", _BODY_END.split(part, maxsplit=1)[0].partition("%}")[2])


def bake(sources: Sources, files: Mapping[str, str]) -> Baked | None:
    """What the classes in these files mean; None in a process without the engine. Raises TemplateFault."""
    from mailboat.render import react_v8

    isolate = react_v8.Isolate.here
    if isolate is None:
        return None
    own = own_classes(files)
    values = [value for source in files.values() for value, _ in dress.class_values(source)]
    texts = [*map(_without_code, values), *(text for source in files.values() for text in strings(source))]
    texts += put_in(sources.files, values)
    classes = sorted({word for text in texts for word in markup.words(text) if _WORD.fullmatch(word)} - own)
    whole = sorted({" ".join(markup.words(value)) for value in values if not markup.JINJA.search(value)})
    request = {"theme": _theme(sources), "classes": classes, "strings": whole}
    try:
        answer = isolate.call("bake", msgspec.json.encode(request).decode(), seconds=limits.COMPILE_SECONDS)
        for _ in range(MOST_TURNS):
            if answer != "p":
                break
            answer = isolate.call("bake", "", seconds=limits.COMPILE_SECONDS)
    except react_v8.TimeIsUp:
        raise limits.Exhausted(limits.TOO_SLOW_TO_COMPILE, file=sources.entry) from None
    except react_v8.Broken as error:
        raise limits.Exhausted(f"{limits.TOO_MUCH_MEMORY} ({error})", file=sources.entry) from None
    if answer[0] != "d":
        message = msgspec.json.decode(answer[1:])["message"] if answer[0] == "f" else "the engine does not answer"
        raise TemplateFault(f"Tailwind: {message}", file=sources.entry, line=sources.first_line.get("tailwind", 0))
    baked = _baked.decode(answer[1:])
    used = {text: meaning for text, meaning in baked.strings.items() if baked.classes.keys() & set(text.split())}
    return Baked(baked.classes, used, baked.head)


def _theme(sources: Sources) -> str:
    """CSS variables, with or without `@theme` around them."""
    theme = sources.tailwind.get("theme", "")
    return theme if "{" in theme or not theme.strip() else f"@theme {{ {theme} }}"


def _without_code(value: str) -> str:
    return markup.JINJA.sub(" ", value)


def warnings(files: Mapping[str, str], baked: Baked, first_line: Mapping[str, int]) -> list[str]:
    """Classes that are neither Tailwind's nor the author's, with their places. `first_line`: as in `Sources`."""
    own = own_classes(files)
    found: dict[str, str] = {}
    for name, source in files.items():
        for value, start in dress.class_values(source):
            for word in markup.words(_without_code(value)):
                if word not in baked.classes and word not in own and word not in found and not _is_cut(value, word):
                    line, column = markup.place(source, start)
                    found[word] = (
                        f"{name}:{line + first_line.get(name, 1) - 1}:{column}: there is no Tailwind class {word!r}."
                    )
    return list(found.values())[:MOST_WARNINGS]


def _is_cut(value: str, word: str) -> bool:
    """Whether an expression makes a part of this word, as in `text-{{ size }}`."""
    return f"{word}{{" in value or f"}}{word}" in value


def head_edit(source: str, css: str) -> Edit | None:
    """Where the rules go that cannot be inlined: at the end of <head>."""
    for piece in markup.pieces(source):
        if isinstance(piece, Tag) and piece.closes and piece.name == "head":
            start = piece.start - len("</head")
            return Edit(start, start, f"<style>{{% raw %}}{css}{{% endraw %}}</style>")
    return None
