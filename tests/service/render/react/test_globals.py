"""What browsers and Node have and V8 alone has not: here for every template, and for none of them to change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailboat.domain.message import Rendered
from mailboat.render.base import Job
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

USE = """
export default async () => {
  const order: string[] = [];
  setTimeout(() => order.push('later'), 2);
  queueMicrotask(() => order.push('first'));
  await new Promise((done) => setTimeout(done, 1000));
  const url = new URL('../b?x=1#y', 'https://example.com/a/');
  url.searchParams.append('z', 'ä &');
  const bytes = new TextEncoder().encode('é');
  return <p>{order.join()} {String(url)} {URL.canParse('x')} {new TextDecoder().decode(bytes)} {atob(btoa('x'))}</p>;
};
"""
USED = "first,later https://example.com/b?x=1&z=%C3%A4+%26#y é x"
CHANGES = [
    "URL.prototype.toString = () => 'evil';",
    "globalThis.URL = class { toString() { return 'evil'; } };",
    "Object.defineProperty(URL, 'canParse', { value: () => 'evil' });",
    "URLSearchParams.prototype.append = () => {};",
    "Object.getPrototypeOf(new URLSearchParams('a=1').entries()).next = () => ({ done: true });",
    "Object.getOwnPropertyDescriptor(URL.prototype, 'href').get.evil = 1;",
    "setTimeout = () => 'evil';",
    "setTimeout.call = setTimeout.apply = () => 'evil';",
    "globalThis.queueMicrotask = () => {};",
    "TextDecoder.prototype.decode = () => 'evil';",
    "Object.getPrototypeOf(new TextEncoder().encode('x')).constructor.from = () => 'evil';",
]


async def test_they_do_what_they_do_on_node(pool: Pool, job: Callable[..., Job]) -> None:
    [outcome] = await pool.render([job(USE)])
    assert isinstance(outcome, Rendered), str(outcome)
    assert outcome.text == USED


@pytest.mark.parametrize("change", CHANGES)
async def test_no_template_changes_them_for_another(change: str, pool: Pool, job: Callable[..., Job]) -> None:
    await pool.render(
        [job(f"export default () => {{ try {{ {change} }} catch {{}} return <p>{{'{len(change)}'}}</p>; }};")]
    )
    await pool.render([job(f"export default () => {{ {change} return <p>x</p>; }};")])
    [outcome] = await pool.render([job(USE)])
    assert isinstance(outcome, Rendered), str(outcome)
    assert outcome.text == USED


async def test_utf8_is_decoded_as_everywhere(pool: Pool, job: Callable[..., Job]) -> None:
    source = """
    const tries = (make: () => unknown) => {
      try { return String(make()); } catch (error) { return (error as Error).name; }
    };
    export default ({ octets }: { octets: number[][] }) => <p>{[
      ...octets.map((each) => escape(new TextDecoder().decode(new Uint8Array(each)))),
      tries(() => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255]))),
      tries(() => new TextDecoder('utf-16')),
      new TextDecoder('utf8', { ignoreBOM: true }).decode(new Uint8Array([239, 187, 191, 65])).length,
      new TextDecoder().decode(new DataView(new Uint8Array([65, 66, 67]).buffer, 1)),
    ].join(' ')}</p>;
    """
    octets = [
        [0xC0, 0x80],
        [0xE2, 0x82],
        [0xED, 0xA0, 0x80],
        [0xF0, 0x9F, 0x98, 0x80],
        [0xF4, 0x90, 0x80, 0x80],
        [239, 187, 191, 65],
    ]
    [outcome] = await pool.render([job(source, {"octets": octets})])
    assert isinstance(outcome, Rendered), str(outcome)
    bad = "%uFFFD"
    expected = [bad * 2, bad, bad * 3, "%uD83D%uDE00", bad * 4, "A", "TypeError", "RangeError", "2", "BC"]
    assert outcome.text == " ".join(expected)
