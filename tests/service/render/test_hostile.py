"""Templates that try to take all time or memory, or to reach out of the sandbox: through a real pool.

Each is answered, with a fault or with harmless output; the pool is whole again, and the next good mail is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
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
    "slice": "{% for a in range(99999)|slice(99999) %}{% for b in range(99999)|slice(99999) %}{% endfor %}{% endfor %}",
    "slice 1e9": "{{ range(9)|slice(10**9)|list|length }}",
    "batch of fillings": "{{ [1]|batch(1000000, 'x' * 1000000)|list|tojson|length }}",
    "indent by a text": "{{ ('a\n' * 500000)|indent('x' * 1000000)|length }}",
    "indent of indents": "{{ ('a\n' * 500000)|indent(1000000, true)|length }}",
    "center again and again": (
        "{% set ns = namespace(s='') %}{% for i in range(9999) %}"
        "{% set ns.s = ns.s ~ ('a'|center(1000000)) %}{% endfor %}{{ ns.s|length }}"
    ),
    "doubling by {% set %}": (
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}"
        "{% set ns.s = t %}{% endfor %}{{ ns.s|length }}"
    ),
    "doubling +": (
        "{% set ns = namespace(n=2) %}{% for i in range(99999) %}{% set ns.n = ns.n + ns.n %}{% endfor %}{{ ns.n }}"
    ),
    "integer from bytes": "{{ (0).from_bytes(('x' * 1000000).encode(), 'big') }}",
    "power of one from bytes": "{{ (0).from_bytes(('x' * 1000000).encode(), 'big') ** 2 }}",
    "one long division": (
        "{% set n = (0).from_bytes(('x' * 1000000).encode(), 'big') %}"
        "{% set m = (0).from_bytes(('y' * 500000).encode(), 'big') %}{{ (n // m) % 7 }}"
    ),
    "hexadecimal": "{% for i in range(9999) %}{{ ('f' * 1000000)|int(base=16) % 7 }}{% endfor %}",
    "float overflow": "{{ 10.0 ** 400 }}",
    "negative power": "{{ 2 ** -(10**9) }}",
    "colliding hashes": "{{ range(0, (2**61 - 1) * 60000, 2**61 - 1)|unique|list|length }}",
    "sum of lists": "{{ ([[1] * 1000] * 100000)|sum(start=[])|length }}",
    "chain of generators": (
        "{% set ns = namespace(f=[1]) %}{% for i in range(50000) %}{% set ns.f = ns.f|map('string') %}{% endfor %}"
        "{{ ns.f|list }}"
    ),
    "nested list, printed": (
        "{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}"
    ),
    "nested lists, compared": (
        "{% set ns = namespace(a=[], b=[]) %}{% for i in range(99999) %}{% set ns.a = [ns.a] %}{% set ns.b = [ns.b] %}"
        "{% endfor %}{{ ns.a == ns.b }}"
    ),
    "nested lists, pretty": (
        "{% set ns = namespace(a=[]) %}{% for i in range(900) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
        "{{ ns.a|pprint }}"
    ),
    "a namespace in itself": "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}{{ ns.a }}{{ ns.a|tojson }}",
    "cycler": "{% set c = cycler(*range(99999)) %}{% for a in range(99999) %}{% for b in range(99999) %}{{ c.next() }}"
    "{% endfor %}{% endfor %}",
    "joiner": "{% set j = joiner('x' * 1000000) %}{% for i in range(9999) %}{{ j() }}{% endfor %}",
    "caller of a caller": (
        "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r(n) %}{% call m() %}{{ r(n + 1) }}{% endcall %}"
        "{% endmacro %}{{ r(0) }}"
    ),
    "block in itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "extend itself by data": "{% extends self_name|default('mail.html.j2') %}",
    "lipsum of long paragraphs": "{{ lipsum(1, false, 10**8, 10**8 + 1)|length }}",
    "urlize of dots": "{{ ('http://' ~ 'a.' * 200000)|urlize|length }}",
    "urlize of addresses": "{{ ('a@' * 300000)|urlize|length }}",
    "urlize of many": "{{ ('www.a.de ' * 100000)|urlize|length }}",
    "striptags of comments": "{{ ('<!--' * 200000)|striptags|length }}",
    "title": "{{ ('a-' * 500000)|title|length }}{{ ('a\u0301' * 500000)|title|length }}",
    "truncate": "{{ ('a ' * 500000)|truncate(999999, true, 'x' * 1000000)|length }}",
    "format of many": "{{ ('{0}' * 100000).format('x' * 100000)|length }}",
    "% of many": "{{ (('%s' * 100000) % (('x' * 100000,) * 100000))|length }}",
    "% precision": "{{ ('%.*f' % (10**9, 1.0))|length }}{{ ('%.1000000000f' % 1.0)|length }}",
    "expandtabs": "{{ ('\t' * 1000000).expandtabs(1000000)|length }}",
    "punycode": "{{ ('\u00fc\u4e00' * 100000).encode('punycode')|length }}",
    "idna": "{{ ('\u00fc' * 100000).encode('idna')|length }}",
    "split": "{{ ('a ' * 500000).split(' ')|map('upper')|list|tojson|length }}",
    "tojson indent": "{{ range(99999)|list|tojson(indent=1000000)|length }}",
    "urlencode": "{{ ('\u00e9' * 1000000)|urlencode|urlencode|urlencode }}",
    "escapes of escapes": "{{ ('&' * 1000000)|forceescape|forceescape|forceescape|forceescape|forceescape }}",
    "pattern of a date": "{{ '2026-11-24'|date('y' * 1000000) }}",
    "years": "{{ (10**18)|datetime }}{{ 1e308|date }}",
    "money": "{{ '1e999999999'|money('EUR') }}{{ 'nan'|money('EUR') }}{{ 1e308|money('EUR') }}",
    "locale of a path": "{{ '2026-11-24'|date(locale='../../../../etc/passwd') }}",
    "locale of a million": "{{ '2026-11-24'|date(locale='a_' * 500000) }}",
}

# Files that read each other where `cycles` cannot be sure, and trees of them.
_TEN = "{%% include '%s' %%}" * 10
FILES = {
    "a circle of includes": (
        "{% if 1 %}{% include 'b' %}{% endif %}",
        {"b": "{% if 1 %}{% include 'mail.html.j2' %}{% endif %}"},
    ),
    "a circle of imports": (
        "{% macro m() %}{% import 'b' as b %}{{ b.m() }}{% endmacro %}{{ m() }}",
        {"b": "{% macro m() %}{% import 'mail.html.j2' as a %}{{ a.m() }}{% endmacro %}"},
    ),
    "a circle by data": ("{% include name %}", {"b": "{% include name %}"}),
    "a tree of includes": (
        _TEN % (("f0",) * 10),
        {f"f{n}": _TEN % ((f"f{n + 1}",) * 10) for n in range(9)} | {"f9": "x"},
    ),
    "many files": (
        "{% include 'f0' %}",
        {f"f{n}": f"{{% include 'f{n + 1}' %}}" for n in range(2000)} | {"f2000": "x"},
    ),
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
    "class of a format's index": "{{ '{0[__class__]}'.format({}) }}",
    "class of a format's width": "{{ '{0!r:>{1.__class__}}'.format(1, 2) }}",
    "format_map taken by filter": "{{ ('{a.__class__}'|attr('format_map'))({'a': 1}) }}",
    "format called by a block": "{% call '{0.__class__.__mro__}'.format(1) %}{% endcall %}",
    "class by map of attr": "{{ ['']|map('attr', '__class__')|map('string')|join }}",
    "class of bytes": "{{ ''.encode().__class__ }}",
    "owner of a method": "{{ ''.upper.__self__.__class__ }}",
    "owner of format": "{{ ''|attr('format')|attr('__self__') }}",
    "subclasses of dict": "{{ dict.__subclasses__() }}",
    "class of range": "{{ range(1).__class__ }}",
    "init of joiner": "{{ joiner().__init__ }}",
    "code of lipsum": "{{ lipsum.__code__.co_consts }}",
    "globals of our own function": "{{ tr.__globals__ }}",
    "wrapped function of our own": "{{ tr.__wrapped__ }}",
    "code of a generator": "{{ ([1]|map('string')).gi_code.co_filename }}",
    "function of a method": "{% for a in [1] %}{{ loop.changed.__func__ }}{% endfor %}",
    "closure of caller": "{% macro m() %}{{ caller.__closure__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "the environment by name": "{{ environment.filters }}",
    "the environment, set": "{% set environment = 1 %}{{ environment.filters }}",
    "what generated code calls": "{{ _call }}",
    "context by name": "{{ context.vars }}",
    "a filter named like a method": "{{ ''|__class__ }}",
    "a test named like a method": "{{ '' is __class__ }}",
    "sorting data": "{{ items.sort() }}",
    "lengthening data": "{{ items.extend([1]) }}",
    "popping data": "{{ items.pop() }}",
    "defaulting data": "{{ data.setdefault('a', 1) }}",
    "changing translations": "{{ t.update({'a': 1}) }}",
    "zone of a path": "{{ '2026-11-24T00:00:00Z'|datetime(zone='../../../../etc/passwd') }}",
    "a codec that unpacks": "{{ 'x'.encode('zlib') }}",
}
# What may well be rendered, but without a word of these.
QUIET = {
    "groupby": "{{ ['']|groupby('__class__')|list }}",
    "sum": "{{ ['']|sum(attribute='__class__', start='') }}",
    "sort": "{{ ['', 'b']|sort(attribute='__class__.__name__') }}",
    "min": "{{ ['']|min(attribute='__doc__') }}",
    "selectattr": "{{ ['']|selectattr('__class__')|list }}",
    "unique": "{{ ['', 1]|unique(attribute='__class__')|list }}",
    "map with a default": "{{ ['']|map(attribute='__class__', default='no')|list }}",
    "items of a namespace": "{{ namespace(__class__=1) }}",
    "a missing name's class": "{{ nothing.__class__|default('no') }}",
    "xmlattr": "{{ {'a': ''.__class__|default('no')}|xmlattr }}",
}
FORBIDDEN = ("<class", "&lt;class", "function", "built-in", "root:", "object at 0x", "str(object")


async def outcome(pool: Pool, job: Job) -> object:
    (found,) = await asyncio.wait_for(pool.render([job]), 10)
    return found


async def whole(pool: Pool, size: int) -> None:
    async with asyncio.timeout(20):
        while len(pool.pids) < size:  # noqa: ASYNC110 (processes start behind the pool's face)
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def slowest(request: pytest.FixtureRequest) -> Iterator[dict[str, float]]:
    """Seconds by bomb; the longest is told when the module is done. Nothing is asserted: the machine may be busy."""
    seconds: dict[str, float] = {}
    yield seconds
    name = max(seconds, key=lambda bomb: seconds[bomb])
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nthe slowest of {len(seconds)} bombs: {seconds[name] * 1000:.0f} ms ({name})")


async def hurt_only_itself(found: object, neighbour: object, pool: Pool, good: Job) -> None:
    """What became of a bomb and of the good mail beside it is right, and so is a good mail after it."""
    assert isinstance(found, (TemplateFault, Rendered))
    if isinstance(found, Rendered):
        assert len(found.html or "") <= 2 << 20
    else:
        assert 0 < len(found.message) < 1000
    assert isinstance(neighbour, Rendered)
    assert await outcome(pool, good) == neighbour
    assert neighbour.html == "<p>Hello Ada</p>"
    await whole(pool, 2)


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_hurts_only_itself(
    bomb: str, shared_pool: Pool, job: Callable[..., Job], good: Job, slowest: dict[str, float]
) -> None:
    bad = job(BOMBS[bomb])
    artifacts = {}
    with contextlib.suppress(TemplateFault):  # compiling has a limit of its own
        artifacts[bad.revision.digest] = await shared_pool.compile(bad.revision)
    begun = time.monotonic()
    found, neighbour = await asyncio.wait_for(shared_pool.render([bad, good], artifacts), 10)
    if artifacts:
        slowest[bomb] = time.monotonic() - begun
    await hurt_only_itself(found, neighbour, shared_pool, good)


@pytest.mark.parametrize("bomb", FILES)
async def test_files_that_read_each_other_hurt_only_themselves(
    bomb: str, shared_pool: Pool, job: Callable[..., Job], good: Job
) -> None:
    source, files = FILES[bomb]
    bad = job(source, {"name": "b"}, files=files)
    found, neighbour = await asyncio.wait_for(shared_pool.render([bad, good]), 10)
    assert isinstance(found, TemplateFault)
    await hurt_only_itself(found, neighbour, shared_pool, good)


@pytest.mark.parametrize("leak", QUIET)
async def test_an_attribute_asked_of_a_filter_says_nothing(
    leak: str, shared_pool: Pool, job: Callable[..., Job]
) -> None:
    found = await outcome(shared_pool, job(QUIET[leak]))
    said = found.html or "" if isinstance(found, Rendered) else str(found)
    assert not [word for word in FORBIDDEN if word in said], said


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
    async with asyncio.timeout(20):  # a process that is new has still to give them up
        while not all(is_bare(Path(f"/proc/{pid}")) for pid in shared_pool.pids):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_bare(process: Path) -> bool:
    return (
        sorted(os.listdir(process / "fd"), key=int) == ["0", "1", "2", "3"]
        and b"PATH=" not in (process / "environ").read_bytes()
        and "NoNewPrivs:\t1" in (process / "status").read_text()
        and f"Max data size             {384 << 20}" in (process / "limits").read_text()
    )
