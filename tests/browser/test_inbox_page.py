"""The inbox as a person uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from uuid import UUID

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

Keep = Callable[..., Awaitable[UUID]]
Receipt = Callable[..., EmailMessage]


def subjects(page: Page) -> Locator:
    return page.locator(".mails .subj")


async def watched(page: Page, url: str) -> None:
    """Open a page and wait until its stream is connected and its list is drawn."""
    async with page.expect_response(lambda answer: "/ui/inbox/rows" in answer.url):
        await page.goto(url)
    await expect(page.locator("#heal.htmx-request")).to_have_count(0)


async def test_a_mail_appears_while_one_watches(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(1))
    await watched(page, f"{site}/ui/inbox")
    await page.evaluate("window.untouched = true")
    await keep(receipt(2))
    await expect(subjects(page)).to_have_text(["Receipt A-2", "Receipt A-1"])
    assert await page.evaluate("window.untouched"), "The page was loaded again."


async def test_the_first_mail_replaces_the_empty_inbox(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    await watched(page, f"{site}/ui/inbox")
    await expect(page.get_by_text("The inbox is empty")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete all")).to_be_hidden()
    await keep(receipt(1))
    await expect(subjects(page)).to_have_text(["Receipt A-1"])
    await expect(page.get_by_text("The inbox is empty")).to_be_hidden()


async def test_many_mails_at_once_all_appear(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(0))
    await watched(page, f"{site}/ui/inbox")
    for number in range(1, 121):
        await keep(receipt(number))
    await expect(subjects(page)).to_have_text([f"Receipt A-{number}" for number in range(120, -1, -1)])


async def test_a_mail_opens_beside_the_list_under_its_own_address(
    site: str, page: Page, keep: Keep, receipt: Receipt
) -> None:
    older = await keep(receipt(1))
    await keep(receipt(2))
    await watched(page, f"{site}/ui/inbox")
    await expect(page.frame_locator("iframe").get_by_text("Order A-2")).to_be_visible()
    await page.get_by_text("Receipt A-1").click()
    await expect(page.frame_locator("iframe").get_by_text("Order A-1")).to_be_visible()
    await expect(page).to_have_url(f"{site}/ui/inbox/{older}")
    await expect(page.locator(f"#row-{older}")).to_have_attribute("aria-current", "true")
    await page.reload()
    await expect(page.get_by_role("article", name="Receipt A-1")).to_be_visible()
    await expect(subjects(page)).to_have_text(["Receipt A-2", "Receipt A-1"])
    await page.go_back()
    await expect(page.get_by_role("article", name="Receipt A-2")).to_be_visible()


async def test_each_view_shows_its_side_of_the_mail(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    message_id = await keep(receipt(7))
    await watched(page, f"{site}/ui/inbox/{message_id}")
    await page.get_by_text("Text", exact=True).click()
    link = page.locator(".view-text a")
    await expect(link).to_have_attribute("href", "https://shop.northwind.example/orders/A-7")
    await page.get_by_text("Source", exact=True).click()
    await expect(page.locator(".view-source")).to_have_text("<h1>Thank you, Ada</h1><p>Order A-7</p>")
    await page.get_by_text("Headers", exact=True).click()
    await expect(page.locator(".view-headers")).to_contain_text("Subject: Receipt A-7")
    await expect(page.locator(".view-source")).to_be_hidden()


async def test_the_view_stays_from_mail_to_mail(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(1))
    await keep(receipt(2))
    await watched(page, f"{site}/ui/inbox")
    await page.get_by_title("Phone").click()
    assert (await page.locator("iframe").bounding_box())["width"] == 390
    await page.get_by_text("Text", exact=True).click()
    await page.get_by_text("Receipt A-1").click()
    await expect(page.locator(".view-text")).to_contain_text("A-1")


async def test_the_search_narrows_the_list_and_what_arrives(
    site: str, page: Page, keep: Keep, receipt: Receipt
) -> None:
    await keep(receipt(1, to="grace@example.net"))
    await keep(receipt(2))
    await watched(page, f"{site}/ui/inbox")
    async with page.expect_response(lambda answer: "/ui/inbox/rows?q=GRACE" in answer.url):
        await page.locator("main").get_by_role("searchbox").fill("GRACE")
    await expect(subjects(page)).to_have_text(["Receipt A-1"])
    await keep(receipt(3))
    await keep(receipt(4, to="grace@example.net"))
    await expect(subjects(page)).to_have_text(["Receipt A-4", "Receipt A-1"])
    await expect(page).to_have_url(f"{site}/ui/inbox?q=GRACE")
    await page.locator("main").get_by_role("searchbox").fill("100%_")
    await expect(page.get_by_text("No mail fits")).to_be_visible()


async def test_older_mail_is_one_click_away_and_stays_when_more_arrives(
    site: str, page: Page, keep: Keep, receipt: Receipt
) -> None:
    start = datetime.now(UTC) - timedelta(days=1)
    for number in range(70):
        await keep(receipt(number), at=start + timedelta(minutes=number), tell=False)
    await watched(page, f"{site}/ui/inbox")
    await expect(subjects(page)).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(subjects(page)).to_have_text([f"Receipt A-{number}" for number in range(69, -1, -1)])
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await page.evaluate("document.body.dispatchEvent(new CustomEvent('heal'))")
    await keep(receipt(70))
    await expect(subjects(page)).to_have_text([f"Receipt A-{number}" for number in range(70, -1, -1)])


async def test_the_list_heals_after_the_connection_broke(
    site: str, page: Page, keep: Keep, receipt: Receipt, pool: asyncpg.Pool
) -> None:
    gone = await keep(receipt(1))
    await watched(page, f"{site}/ui/inbox")
    await keep(receipt(2), tell=False)
    await pool.execute("delete from inbox where message_id = $1", gone)
    broken = await pool.fetch(
        """select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'mailboat-test' and pid <> pg_backend_pid() and query = 'select 1'"""
    )
    assert broken, "No connection was listening."
    await expect(subjects(page)).to_have_text(["Receipt A-2"])
    await keep(receipt(3))
    await expect(subjects(page)).to_have_text(["Receipt A-3", "Receipt A-2"])


async def test_a_paused_list_stays_as_it_is_and_catches_up(
    site: str, page: Page, browser: BrowserContext, keep: Keep, receipt: Receipt
) -> None:
    await keep(receipt(1))
    await watched(page, f"{site}/ui/inbox")
    other = await browser.new_page()
    await watched(other, f"{site}/ui/inbox")
    await page.get_by_role("button", name="Live").click()
    await keep(receipt(2))
    await expect(subjects(other)).to_have_count(2)
    await asyncio.sleep(0.3)
    await expect(subjects(page)).to_have_count(1)
    await page.get_by_role("button", name="Live").click()
    await expect(subjects(page)).to_have_text(["Receipt A-2", "Receipt A-1"])


async def test_one_mail_is_deleted_only_after_a_yes(
    site: str, page: Page, browser: BrowserContext, keep: Keep, receipt: Receipt
) -> None:
    await keep(receipt(1))
    await keep(receipt(2))
    await watched(page, f"{site}/ui/inbox")
    other = await browser.new_page()
    await watched(other, f"{site}/ui/inbox")
    await page.get_by_text("Receipt A-1").click()
    await expect(page.get_by_role("article", name="Receipt A-1")).to_be_visible()
    await page.get_by_role("button", name="Delete this mail").click()
    await expect(page.get_by_role("button", name="Keep as it is")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(subjects(page)).to_have_count(2)
    await page.get_by_role("button", name="Delete this mail").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete this mail").click()
    await expect(subjects(page)).to_have_text(["Receipt A-2"])
    await expect(page.get_by_text("The mail is deleted")).to_be_focused()
    await expect(page).to_have_url(f"{site}/ui/inbox")
    await expect(subjects(other)).to_have_text(["Receipt A-2"])


async def test_all_mail_is_deleted_only_after_a_yes(
    site: str, page: Page, keep: Keep, receipt: Receipt, pool: asyncpg.Pool
) -> None:
    for number in range(3):
        await keep(receipt(number))
    await watched(page, f"{site}/ui/inbox")
    await page.get_by_role("button", name="Delete all").click()
    await page.get_by_role("button", name="Keep as it is").click()
    assert await pool.fetchval("select count(*) from inbox") == 3
    await page.get_by_role("button", name="Delete all").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete all mail").click()
    await expect(page.get_by_text("The inbox is empty")).to_be_visible()
    assert await pool.fetchval("select count(*) from inbox") == 0


async def test_the_keyboard_suffices(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(1))
    await keep(receipt(2))
    await watched(page, f"{site}/ui/inbox")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Control+k")
    await expect(page.locator("main").get_by_role("searchbox")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Receipt A-1")).to_be_visible()
    await keep(receipt(3))
    await expect(subjects(page)).to_have_count(3)
    await expect(page.locator(".mails a").nth(2)).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Receipt A-2")).to_be_visible()


async def test_a_phone_shows_the_list_or_the_mail(site: str, phone: Page, keep: Keep, receipt: Receipt) -> None:
    await keep(receipt(1))
    await keep(receipt(2))
    await watched(phone, f"{site}/ui/inbox")
    await expect(phone.get_by_role("article")).to_be_hidden()
    await expect(phone.locator(".mails .unread")).to_have_count(2)
    await phone.get_by_text("Receipt A-1").click()
    await expect(phone.frame_locator("iframe").get_by_text("Order A-1")).to_be_visible()
    await expect(phone.locator(".mails")).to_be_hidden()
    await expect(phone.get_by_role("link", name="All mail")).to_be_focused()
    assert await phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), "It scrolls sideways."
    await phone.get_by_role("link", name="All mail").click()
    await expect(phone.locator(".mails")).to_be_visible()
    await expect(phone.locator(".mails .unread .subj")).to_have_text(["Receipt A-2"])
    await phone.get_by_role("button", name="Menu").click()
    await phone.get_by_role("link", name="First steps").click()
    await expect(phone.get_by_role("heading", name="Ready to sail")).to_be_visible()


async def test_attachments_are_named_and_can_be_saved(site: str, page: Page, keep: Keep, receipt: Receipt) -> None:
    mail = receipt(1)
    mail.add_attachment(b"%PDF-1.7 " + bytes(1991), maintype="application", subtype="pdf", filename="Beleg ä.pdf")
    await keep(mail)
    await watched(page, f"{site}/ui/inbox")
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="Beleg ä.pdf, 2.0 kB").click()
    download = await saved.value
    assert download.suggested_filename == "Beleg ä.pdf"
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="Download").click()
    assert (await (await saved.value).path()).read_bytes() == mail.as_bytes()


async def test_the_theme_is_kept(site: str, page: Page) -> None:
    await page.goto(f"{site}/ui/welcome")
    await page.get_by_role("button", name="Switch between light and dark").click()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
