"""Warnings: cheap ones with each mail, thorough ones for those who look at a template."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.render import findings
from mailboat.render.base import Job
from mailboat.render.pool import Pool

PREVIEW = '<div style="display:none">Your order is on its way</div>'


def thorough(html: str) -> tuple[str, ...]:
    return findings.thorough(Rendered("S", f"<html><body>{PREVIEW}{html}</body></html>", "t")).warnings


@pytest.mark.parametrize(
    ("html", "word"),
    [
        ("<p style='display: flex'>", "flex"),
        ("<p style='position:absolute'>", "`position`"),
        ("<style>.a{grid-template-columns:1fr}</style>", "grid"),
        ("<p style='width:calc(1px + 2px)'>", "calc()"),
        ("<p style='color:oklch(1 1 1)'>", "oklch()"),
        ("<p style='padding-inline:1px'>", "logical properties"),
        ("<p style='height:100vh'>", "viewport units"),
        ("<style>@import url(x);</style>", "@import"),
        ("<p style='transition:all 1s'>", "transitions"),
        ("<form><input></form><SCRIPT>x</SCRIPT>", "<form>, <script>"),
        ("<img alt='' src='/static/logo.png'>", "The address of an image is relative, '/static/logo.png'"),
        ('<td background="static/back.png">', "an image is relative, 'static/back.png'"),
        ('<img alt="" src="//cdn.example.com/a.png">', "'//cdn.example.com/a.png'"),
        ('<a href="/orders">x</a><a href="../more">y</a>', "The address of a link is relative, '/orders'"),
    ],
)
def test_what_mail_programs_do_not_know_is_said(html: str, word: str) -> None:
    (found,) = thorough(html)
    assert word in found


def test_a_class_without_rule_is_placed_where_it_is_first_written() -> None:
    sources = Sources(
        engine="jinja", entry="z.html.j2", first_line={"z.html.j2": 4},
        files={"a.txt": "card x card-x\n x-card it's(", "z.html.j2": "<p>\n<b class='my-card card'>"},
    )  # fmt: skip
    classes = '<p class="card x gone it&#39;s it\'s(">'
    found = findings.placed(findings.thorough(Rendered("S", f"{PREVIEW}{classes}", "t")), sources)
    assert [each for each in found.warnings if "'card'" in each] == [
        "z.html.j2:5:19: there is no rule for class 'card'."
    ]
    assert "a.txt:1:6: there is no rule for class 'x'." in found.warnings
    assert "There is no rule for class 'gone'." in found.warnings
    assert 'a.txt:2:9: there is no rule for class "it\'s(".' in found.warnings


@pytest.mark.parametrize("html", ["", "\n", "<!DOCTYPE html><!-- --><html><body> </body></html>"])
def test_an_empty_mail_is_said_to_be_one(html: str) -> None:
    (found,) = findings.thorough(Rendered("S", html, " ")).warnings
    assert "empty" in found


@pytest.mark.parametrize(
    "html",
    [
        "<p style='display:block;background-position:center;padding:1px;border-radius:8px'>calc(1px) display:flex</p>",
        "<!-- <form> --><p title='position:absolute'>",
        "<!-- <img src='/a.png'> --><img alt='' src='https://example.com/a.png'><img alt='' src='cid:logo'>",
        "<a href='#top'>x</a><a href='mailto:a@example.com'>y</a><a href='%unsubscribe_url%'>z</a><a href=''>",
        "<style>@media (max-width: 1px) { p { width: 100% !important } }</style>",
        "<!--[if mso]><v:rect><script></script></v:rect><![endif]-->",
    ],
)
def test_what_they_know_is_no_warning(html: str) -> None:
    assert thorough(html) == ()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"<body>{PREVIEW}<p>x", True),
        ('<body class="a">\n<!-- x --><table><tr><td><span hidden>Preview</span>', True),
        (f"{PREVIEW}<p>x", True),
        ("<body><h1>Hello</h1>" + PREVIEW, False),
        ("<body>Hello" + PREVIEW, False),
        ("<title>x</title><style>a{display:none}</style><body><p>x", False),
        ("", False),
    ],
)
def test_preview_text_is_what_comes_first_and_hidden(body: str, found: bool) -> None:
    assert findings.has_preview(body) is found


def test_a_mail_without_a_subject_is_said_to_have_none_once() -> None:
    bare = Rendered("", f"<body>{PREVIEW}x", "x")
    (found,) = findings.thorough(bare).warnings
    assert "no `subject`" in found
    own = "The template exports no `subject`, so the mail has none."
    assert findings.thorough(Rendered("", bare.html, "x", (own,))).warnings == (own,)


def test_warnings_are_kept_and_none_is_said_twice() -> None:
    mail = Rendered("S", "<p>x", "x", ("known",))
    once = findings.thorough(mail)
    assert once.warnings[0] == "known"
    assert "preview text" in once.warnings[1]
    assert findings.thorough(once) == once


@pytest.mark.parametrize(
    "html",
    ["<" * 500_000, "<style " * 100_000, " style='" * 100_000, " src='" * 100_000, "<!--" * 200_000, "a(" * 500_000],
)
def test_looking_takes_linear_time(html: str) -> None:
    began = time.process_time()
    findings.thorough(Rendered("S", "<body>" + html, ""))
    assert time.process_time() - began < 2


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_says_how_thorough_to_be(shared_pool: Pool, job: Callable[..., Job]) -> None:
    made = job("<p style='display:flex'>x")
    looked = Job(made.revision, made.data, thorough=True)
    quick, slow = await shared_pool.render([made, looked])
    assert isinstance(quick, Rendered)
    assert isinstance(slow, Rendered)
    assert (len(quick.warnings), len(slow.warnings)) == (0, 2)
