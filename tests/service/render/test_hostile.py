"""Templates that try to take all time or memory, or to reach out of the sandbox: through a real pool.

Each is answered, with a fault or with harmless output; the pool is whole again, and the next good mail is right.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render.base import Job
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOMBS = {
    "range 1e9": "{% for a in range(10**9) %}x{% endfor %}",
    "nested range": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "nested sum": "{% for a in range(99999) %}{{ range(99999)|sum }}{% endfor %}",
    "'a'*10**9": "{{ ('a' * 10**9)|length }}",
    "10**10**8": "{{ (10**10**8) % 7 }}",
    "10**(10**8)": "{{ (10**(10**8)) % 7 }}",
    "%*d": "{{ ('%*d' % (10**9, 1))|length }}",
    "zfill": "{{ '1'.zfill(10**9)|length }}",
    "round huge": "{{ 1.5|round(10**9) }}",
    "int base": "{{ ('z'*100000)|int(base=36) % 7 }}",
    "f big": "{{ '%f' % (10**300) }}{{ (10**300)|filesizeformat }}",
    "truediv": "{% for i in range(99999) %}{{ (3**400) // 7 % 5 }}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{{ f(n+1) }}{% endmacro %}{{ f(0) }}",
    "exp macro": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "doubling ~": (
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
        "{{ ns.s|length }}"
    ),
    "mul chain": (
        "{% set ns = namespace(s=3) %}{% for i in range(60) %}{% set ns.s = ns.s * ns.s %}{% endfor %}{{ ns.s % 7 }}"
    ),
    "format width": "{{ '{:>1000000000}'.format(1)|length }}",
    "format nested": "{{ '{:>{w}}'.format(1, w=10**9)|length }}",
    "% width": "{{ ('%1000000000d' % 1)|length }}",
    "|format width": "{{ ('%1000000000d'|format(1))|length }}",
    "|center": "{{ ('a'|center(10**9))|length }}",
    ".ljust": "{{ ('a'.ljust(10**9))|length }}",
    "|indent": "{{ ('a\nb'|indent(10**9))|length }}",
    "|replace": "{{ (('a'*1000000)|replace('a','b'*5000))|length }}",
    ".replace": "{{ (('a'*1000000).replace('a','b'*5000))|length }}",
    "wordwrap": "{{ ('aaaa '*200000)|wordwrap(1)|length }}",
    "urlize": "{{ ('(' * 200000 ~ 'http://x.y')|urlize|length }}",
    "striptags": "{{ ('<' * 300000)|striptags|length }}",
    "lipsum": "{{ lipsum(n=1000000)|length }}",
    "list*n": "{{ ([0]*10**9)|length }}",
    "sort": (
        "{{ range(99999)|list|sort(reverse=true)|unique|list|length }}"
        "{% for i in range(9999) %}{{ range(99999)|list|sort|length }}{% endfor %}"
    ),
    "int parse": "{{ ('9'*4000)|int }}{% for i in range(99999) %}{{ ('9'*4000)|int % 7 }}{% endfor %}",
    "batch": "{{ range(99999)|batch(1, 'x'*100000)|list|length }}",
    "tojson deep": (
        "{% set ns=namespace(a=[]) %}{% for i in range(5000) %}{% set ns.a=[ns.a] %}{% endfor %}"
        "{{ ns.a|tojson|length }}"
    ),
    "class of cycler": "{% for x in cycler(1,2).__class__ %}{% endfor %}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    # our own
    "huge output": "{% for a in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
    "to_bytes": "{{ (1).to_bytes(10**9, 'big')|length }}",
    "round downwards": "{{ 5|round(-10**12) }}",
    "power by a filter": "{{ 1|round(1000000, 'floor') }}",
    "translate": "{{ ('a'*1000000).translate({97: 'b'*100000})|length }}",
    "join": "{{ ('x'*1000000).join(range(99999)|map('string'))|length }}",
    "one long call in C": "{{ ('a' * 1000000).rfind('ab' ~ 'a' * 400000) }}",
    "include itself": "{% include 'mail.html.j2' %}",
    "extend itself": "{% extends 'mail.html.j2' %}",
    "constant at compile time": "{{ 'a'|center(1000000000)|length }}",
    "deep parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep loops": "{% for a in [1] %}" * 40 + "{% endfor %}" * 40,
    "long source": "{{ a }}" * 60000,
}

ESCAPES = {
    "class by attribute": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__'] }}",
    "class by filter": "{{ ''|attr('__class__') }}",
    "class by map": "{{ ['']|map(attribute='__class__')|first }}",
    "class by format": "{{ '{0.__class__.__mro__}'.format(1) }}",
    "class by format_map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "class by markup": "{{ ('{0.__class__}'|safe).format(1) }}",
    "format taken by filter": "{{ ('{0.__class__}'|attr('format'))(1) }}",
    "format taken by map": "{% for f in ['{0.__class__}']|map(attribute='format') %}{{ f(1) }}{% endfor %}",
    "globals of cycler": "{{ cycler.__init__.__globals__ }}",
    "globals of lipsum": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "globals of joiner": "{{ joiner.__init__.__globals__.os }}",
    "globals of namespace": "{{ namespace.__init__.__globals__ }}",
    "private of loop": "{% for a in [1] %}{{ loop._iterator }}{% endfor %}",
    "private of macro": "{% macro m() %}{% endmacro %}{{ m._func.__code__ }}",
    "environment of self": "{{ self._TemplateReference__context.environment }}",
    "frame of generator": "{{ ([1]|map('string')).gi_frame.f_globals }}",
    "template by super": "{% block b %}{{ super.__self__ }}{{ super() }}{% endblock %}",
    "mro": "{{ dict.mro() }}",
    "file outside": "{% include '../../../../etc/passwd' %}",
    "file by number": "{% include '/proc/self/environ' %}",
    "import by name": "{% import 'os' as os %}{{ os.system('id') }}",
    "changing data": "{{ items.append(1) }}",
    "clearing data": "{{ items.clear() }}",
    "updating data": "{{ data.update({'a': 1}) }}",
    "lone surrogate": "{{ '\\ud800' }}",
}


async def outcome(pool: Pool, job: Job) -> object:
    (found,) = await asyncio.wait_for(pool.render([job]), 10)
    return found


async def whole(pool: Pool, size: int) -> None:
    async with asyncio.timeout(5):
        while len(pool.pids) < size:  # noqa: ASYNC110 (processes start behind the pool's face)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_hurts_only_itself(bomb: str, shared_pool: Pool, job: Callable[..., Job], good: Job) -> None:
    found, neighbour = await asyncio.wait_for(shared_pool.render([job(BOMBS[bomb]), good]), 10)
    assert isinstance(found, (TemplateFault, Rendered))
    if isinstance(found, Rendered):
        assert len(found.html or "") <= 2 << 20
    assert isinstance(neighbour, Rendered)
    assert await outcome(shared_pool, good) == neighbour
    assert neighbour.html == "<p>Hello Ada</p>"
    await whole(shared_pool, 2)


@pytest.mark.parametrize("bomb", ["nested range", "exp macro", "'a'*10**9", "power by a filter", "long source"])
async def test_what_cannot_be_harmless_is_a_fault(bomb: str, shared_pool: Pool, job: Callable[..., Job]) -> None:
    assert isinstance(await outcome(shared_pool, job(BOMBS[bomb])), TemplateFault)


@pytest.mark.parametrize("escape", ESCAPES)
async def test_nothing_leaves_the_sandbox(escape: str, shared_pool: Pool, job: Callable[..., Job], good: Job) -> None:
    data = {"items": [1], "data": {}}
    found = await outcome(shared_pool, job(ESCAPES[escape], data))
    assert isinstance(found, TemplateFault), found
    assert isinstance(await outcome(shared_pool, good), Rendered)
    await whole(shared_pool, 2)


async def test_one_mail_leaves_nothing_for_the_next(shared_pool: Pool, job: Callable[..., Job]) -> None:
    counter = "{% set ns = namespace(n=0) %}{% set turns = cycler('a', 'b') %}"
    source = (
        "{% import 'counter.html' as counter %}{% set ns = counter.ns %}{% set ns.n = ns.n + 1 %}"
        "{{ ns.n }}{{ counter.turns.next() }}"
    )
    found = await shared_pool.render([job(source, files={"counter.html": counter})] * 3)
    assert [each.html for each in found if isinstance(each, Rendered)] == ["1a"] * 3


async def test_a_render_process_keeps_no_descriptor_and_no_environment(shared_pool: Pool) -> None:
    for pid in shared_pool.pids:
        assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int) == ["0", "1", "2", "3"]
        assert b"PATH=" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
        assert f"Max data size             {384 << 20}" in Path(f"/proc/{pid}/limits").read_text()
