"""Mail comes from outside. Whatever it holds, it is shown, and it does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from uuid import UUID

import pytest
from playwright.async_api import BrowserContext, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

Keep = Callable[..., Awaitable[UUID]]

SCRIPT = "<script>top.owned = window.owned = 1; alert(1)</script>"
HTML = f"""
<html><head><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/">
<link rel="stylesheet" href="https://evil.example/style.css"></head>
<body onload="top.owned = 1">{SCRIPT}
<img src="x" onerror="top.owned = 1"><svg onload="top.owned = 1"></svg><iframe src="javascript:top.owned = 1"></iframe>
<form action="/ui/inbox" method="post"><button id="send">Send</button></form>
<a id="top" href="https://evil.example/" target="_top">out</a><a id="js" href="javascript:top.owned = 1">run</a>
<p>the end</p></body></html>
"""


def hostile() -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = '"<script>owned = 1</script>" <orders@northwind.example>'
    mail["To"] = '"</pre><img src=x onerror=owned=1>" <ada@example.com>'
    mail["Subject"] = f'{SCRIPT}"><img src=x onerror=owned=1> &amp; {{{{ 7 * 7 }}}}'
    mail["X-Trap"] = "</pre>" + SCRIPT
    mail.set_content(f"</pre>{SCRIPT} javascript:owned=1 https://ok.example/\"onclick='owned=1'")
    mail.add_alternative(HTML, subtype="html")
    mail.add_attachment(b"<script>", maintype="text", subtype="html", filename='"><img src=x onerror=owned=1>.html')
    return mail


async def opened(browser: BrowserContext, url: str) -> Page:
    page = await browser.new_page()
    await page.goto(url)
    await expect(page.frame_locator("iframe").get_by_text("the end")).to_be_visible()
    return page


async def harmless(page: Page, site: str) -> None:
    assert await page.evaluate("window.owned") is None
    assert page.context.pages == [page]
    assert page.url.startswith(f"{site}/ui/")
    assert [frame.url for frame in page.frames if "evil" in frame.url or "javascript" in frame.url] == []


async def test_a_hostile_mail_can_neither_script_nor_leave(site: str, browser: BrowserContext, keep: Keep) -> None:
    message_id = await keep(hostile())
    page = await opened(browser, f"{site}/ui/inbox/{message_id}")
    frame = page.frame_locator("iframe[title='HTML of the mail']")
    for trap in ("#send", "#js", "#top"):
        await frame.locator(trap).click(no_wait_after=True)
    await expect(frame.get_by_text("the end")).to_be_visible()
    for view in ("Text", "Source", "Headers"):
        await page.get_by_text(view, exact=True).click()
        await expect(page.locator(f".view-{view.lower()}")).to_contain_text("<script>")
    await harmless(page, site)


async def test_what_arrives_live_is_escaped_too(site: str, browser: BrowserContext, keep: Keep) -> None:
    page = await browser.new_page()
    async with page.expect_response(lambda answer: "/ui/inbox/rows" in answer.url):
        await page.goto(f"{site}/ui/inbox")
    await keep(hostile())
    await expect(page.locator(".mails .subj")).to_contain_text("{{ 7 * 7 }}")
    await expect(page.locator(".mails .subj")).to_contain_text("<script>")
    await harmless(page, site)


async def test_its_own_address_is_as_harmless_as_the_frame(site: str, browser: BrowserContext, keep: Keep) -> None:
    message_id = await keep(hostile())
    page = await browser.new_page()
    answer = await page.goto(f"{site}/ui/inbox/{message_id}/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    await expect(page.get_by_text("the end")).to_be_visible()
    await harmless(page, site)


async def test_an_image_of_the_mail_itself_is_shown(site: str, page: Page, keep: Keep) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "With a picture"
    mail.set_content("See the picture.")
    mail.add_alternative('<p>Look</p><img src="cid:dot@here" alt="dot">', subtype="html")
    gif = bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b")
    mail.get_payload()[1].add_related(gif, "image", "gif", cid="<dot@here>")
    message_id = await keep(mail)
    await page.goto(f"{site}/ui/inbox/{message_id}")
    image = page.frame_locator("iframe").get_by_alt_text("dot")
    await expect(image).to_have_js_property("naturalWidth", 1)
