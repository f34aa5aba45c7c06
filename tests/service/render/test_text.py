"""Plain text from HTML."""

from __future__ import annotations

import pytest

from mailboat.render import findings, text

CASES = {
    "paragraphs stand apart": ("<p>One</p><p>Two</p>", "One\n\nTwo"),
    "a break is a line": ("One<br>Two<BR/>Three", "One\nTwo\nThree"),
    "blanks collapse": ("<p>  a \n\t b&nbsp; c </p>", "a b  c"),
    "inline tags leave no blanks": ("<b>a</b>b <i>c</i>", "ab c"),
    "headings stand apart": ("<h1>Title</h1>Words", "Title\n\nWords"),
    "links keep their address": (
        'See <a href="https://a.example/?x=1&amp;y=2">the page</a>.',
        "See the page (https://a.example/?x=1&y=2).",
    ),
    "a link that says its address says it once": ('<a href="https://a.example">a.example</a>', "a.example"),
    "an address of mail is said once": ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
    "a link around an image takes the alt text": (
        '<a href="https://a.example"><img src=x alt="Logo"></a>',
        "Logo (https://a.example)",
    ),
    "a link without words is its address": ('<a href="https://a.example"><img src=x></a>', "https://a.example"),
    "an anchor is no link": ('<a href="#top">Top</a> <a name=x>x</a>', "Top x"),
    "an unclosed link ends at the next": ('<a href="u:1">A<a href="u:2">B</a>', "A (u:1)B (u:2)"),
    "lists": ("<ul><li>a</li><li>b</ul><ol><li>c<li>d</ol>", "- a\n- b\n\n1. c\n2. d"),
    "lists in lists": ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n\n- b\n\n2. c"),
    "cells are set apart": (
        "<table><tr><td>a</td>\n<td> b</td></tr><tr><th>c</th><td>d</td></tr></table>",
        "a  b\nc  d",
    ),
    "layout tables leave no trace": ("<table><tr><td><table><tr><td>x</td></tr></table></td></tr></table>", "x"),
    "head, style and script are left out": (
        "<head><title>t</title><style>s</style></head><body>b<script>if(a<b){}</script>c",
        "bc",
    ),
    "an unclosed head ends at the body": ("<html><head><meta charset=utf-8><body>b", "b"),
    "a preheader is left out": ('<div style="display: none">p<div>q</div>r</div><p>b</p>', "b"),
    "decoration is left out": ('<span aria-hidden="true">*</span>b', "b"),
    "a hidden image hides nothing else": ('<img style="display:none" alt="p">b', "b"),
    "comments are left out": ("a<!-- <p>b</p> -->c<!--[if mso]><i>d</i><![endif]-->e<!-- f", "ace"),
    "entities": ("&lt;b&gt; &amp; &eacute; &#8364;", "<b> & é €"),
    "a lone < is a character": ("1 < 2 <3 <", "1 < 2 <3 <"),
    "an attribute may hold >": ('<a title="a > b" href="u:1">x</a>', "x (u:1)"),
    "a quote too many": ('<p title="a" "\'>x</p>', "x"),
    "plain words": ("just words", "just words"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("markup", "expected"), CASES.values(), ids=CASES)
def test_plain(markup: str, expected: str) -> None:
    assert text.plain(markup) == expected


HOSTILE = [
    "<",
    "<a ",
    "<!--",
    '<a "',
    "<a '\"",
    "<a href=",
    "</",
    "<p>",
    "<ul><li>",
    "<a href=x>",
    "&",
    "&#",
    "\"'",
    "<head>",
    "-->",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_markup_takes_linear_steps(piece: str) -> None:
    """Ten times the input would take a hundred times the time, and this suite minutes, if a scan were quadratic."""
    markup = piece * (1_000_000 // len(piece))
    text.plain(markup)
    findings.images_without_alt(markup.replace("<", "<img "))


def test_a_mail_that_gmail_clips_is_warned_of() -> None:
    assert findings.warnings("x" * 104_448) == ()
    (warning,) = findings.warnings("é" * 60_000)
    assert "Gmail clips" in warning


@pytest.mark.parametrize(
    ("markup", "bare"),
    [
        ('<img src=a alt="x"><img alt="" src=b>', 0),
        ("<img src=a><IMG src=b>", 2),
        ('<img src="a-alt=b"><imgx>', 1),
        ("<img <img <img >", 1),
        ("<img src=a", 0),
    ],
)
def test_images_without_alt_are_counted(markup: str, bare: int) -> None:
    assert findings.images_without_alt(markup) == bare
