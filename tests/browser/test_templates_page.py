"""Templates as their author sees them: the list, the preview, the data, the faults, and what a save does."""

from __future__ import annotations

import time
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Page, expect

from mailboat.domain.revision import Sources, revise
from mailboat.registry.catalog import FOLDER, RESOURCE, Catalog
from mailboat.registry.folder import Folder

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECEIPT = """---
subject: "Receipt {{ order }}"
example: {order: A-1042, name: Ada}
---
<h1>Thank you, {{ name }}</h1><p><b>Order {{ order }}</b></p>
"""


@pytest.fixture
def receipt_file(tmp_path: Path) -> Path:
    file = tmp_path / "receipt.html.j2"
    file.write_text(RECEIPT)
    return file


async def watched(page: Page, url: str) -> None:
    """Open a preview and wait until its stream is connected and what it said at first is drawn."""
    async with page.expect_response(lambda answer: answer.url.endswith("/preview")):
        await page.goto(url)
    await expect(page.locator("#try.htmx-request")).to_have_count(0)


async def test_the_list_shows_every_template_and_the_broken_one_first(
    site: str, page: Page, tmp_path: Path, receipt_file: Path
) -> None:
    (tmp_path / "zebra.html.j2").write_text("{% for x in y %}\n{% endfro %}\n")
    await page.goto(f"{site}/ui/templates")
    await expect(page.locator(".tile .go")).to_have_text(["zebra", "receipt"])
    await expect(page.get_by_text("zebra.html.j2:2:4")).to_be_visible()
    await expect(page.frame_locator("iframe").get_by_text("Thank you, Ada")).to_be_attached()
    (tmp_path / "another.html.j2").write_text("<p>New</p>")
    await expect(page.locator(".tile .go")).to_have_text(["zebra", "another", "receipt"])
    await page.get_by_role("searchbox", name="Search templates").fill("rec")
    await expect(page.locator(".tile .go")).to_have_text(["receipt"])
    await page.get_by_role("link", name="receipt").click()
    await expect(page.get_by_role("heading", name="receipt")).to_be_visible()


async def test_a_save_is_seen_at_once_and_nobody_reloads(site: str, page: Page, receipt_file: Path) -> None:
    await watched(page, f"{site}/ui/templates/receipt")
    await expect(page.frame_locator("iframe").get_by_text("Thank you, Ada")).to_be_visible()
    await page.evaluate("window.untouched = true")
    before = time.monotonic()
    receipt_file.write_text(RECEIPT.replace("Thank you", "Many thanks").replace("Receipt {{", "Order {{"))
    await expect(page.frame_locator("iframe").get_by_text("Many thanks, Ada")).to_be_visible()
    print(f"seen {time.monotonic() - before:.3f} s after the save")
    await expect(page.locator("#preview .envelope")).to_have_text("Order A-1042")
    assert await page.evaluate("window.untouched"), "The page was loaded again."


async def test_edited_data_are_rendered_as_one_types_and_survive_a_save(
    site: str, page: Page, receipt_file: Path
) -> None:
    await watched(page, f"{site}/ui/templates/receipt")
    editor = page.get_by_label("Data, as JSON")
    await editor.fill('{"order": "B-7", "name": "<i>Grace</i>"}')
    await expect(page.locator("#preview .envelope")).to_have_text("Receipt B-7")
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Thank you, <i>Grace</i>")
    receipt_file.write_text(RECEIPT.replace("Thank you", "Thanks"))
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Thanks, <i>Grace</i>")
    await editor.fill('{"order": ')
    await expect(page.get_by_role("heading", name="The data are not JSON")).to_be_visible()
    await page.get_by_role("button", name="Example").click()
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Thanks, Ada")


async def test_untouched_data_follow_the_example(site: str, page: Page, receipt_file: Path) -> None:
    await watched(page, f"{site}/ui/templates/receipt")
    receipt_file.write_text(RECEIPT.replace("name: Ada", "name: Grace"))
    await expect(page.frame_locator("iframe").get_by_text("Thank you, Grace")).to_be_visible()
    await expect(page.get_by_label("Data, as JSON")).to_have_value('{\n  "order": "A-1042",\n  "name": "Grace"\n}')


async def test_a_fault_is_shown_in_its_source_until_it_is_mended(site: str, page: Page, receipt_file: Path) -> None:
    await watched(page, f"{site}/ui/templates/receipt")
    receipt_file.write_text(RECEIPT + "{% for item in items %}\n{{ <script>alert(1)</script> }}\n{% endfor %}\n")
    await expect(page.locator("#preview h2")).to_contain_text("receipt.html.j2:7")
    await expect(page.locator(".frame .hit")).to_contain_text("7{{ <script>alert(1)</script> }}")
    receipt_file.write_text(RECEIPT)
    await expect(page.frame_locator("iframe").get_by_text("Thank you, Ada")).to_be_visible()


async def test_each_view_and_width_stays_across_saves(site: str, page: Page, receipt_file: Path) -> None:
    await watched(page, f"{site}/ui/templates/receipt")
    await page.get_by_title("Phone").click()
    assert (await page.locator("iframe").bounding_box())["width"] == 390
    await page.locator("#preview").get_by_text("Text", exact=True).click()
    receipt_file.write_text(RECEIPT.replace("Thank you", "Merci"))
    await expect(page.locator("#preview .view-text")).to_contain_text("Merci, Ada")
    await page.locator("#try").get_by_text("Source", exact=True).click()
    await expect(page.locator("#try .view-source")).to_contain_text("<h1>Thank you, {{ name }}</h1>")


async def test_on_a_phone_the_preview_follows_the_editor(site: str, phone: Page, receipt_file: Path) -> None:
    await phone.goto(f"{site}/ui/templates/receipt")
    await expect(phone.frame_locator("iframe").get_by_text("Thank you, Ada")).to_be_visible()
    assert await phone.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_what_does_not_exist_says_so(site: str, page: Page) -> None:
    for name in ("nothing", "..%2Fsecret", "%00"):
        answer = await page.request.get(f"{site}/ui/templates/{name}")
        assert answer.status == 404


async def published(pool: asyncpg.Pool, folder: Path) -> str:
    """Make what is on disk live, as the watcher does; the first digits of its digest."""
    loaded = Folder(folder).load("receipt")
    assert loaded is not None
    await Catalog(Folder(folder), pool).publish("default", loaded[0], FOLDER)
    return loaded[0].digest[:12]


async def test_a_template_is_rolled_back_and_its_revisions_are_compared(
    site: str, page: Page, pool: asyncpg.Pool, tmp_path: Path, receipt_file: Path
) -> None:
    await pool.execute("truncate template_history")
    old = await published(pool, tmp_path)
    receipt_file.write_text(RECEIPT.replace("<h1>Thank you", "<h1><i>Merci</i>").replace("Receipt {{", "Facture {{"))
    new = await published(pool, tmp_path)
    await page.goto(f"{site}/ui/templates/receipt")
    await page.get_by_role("link", name="Revisions").click()
    rows = page.get_by_role("region", name="Revisions, all columns").locator("tbody tr")
    await expect(rows.locator("code")).to_have_text([new, old])
    await expect(rows.nth(0)).to_contain_text("live")

    await rows.nth(1).get_by_role("link", name="Compare with live").click()
    await expect(page.get_by_label("Changes of subject")).to_contain_text("- Receipt {{ order }}")
    body = page.get_by_label("Changes of receipt.html.j2")
    await expect(body.locator(".bad-text")).to_contain_text("- <h1>Thank you, {{ name }}</h1>")
    await expect(body.locator(".ok-text")).to_contain_text("+ <h1><i>Merci</i>, {{ name }}</h1>")
    await page.get_by_label("From", exact=True).select_option(label=f"{new}, live")
    await page.get_by_role("button", name="Compare", exact=True).click()
    await expect(page.get_by_text("The two are the same.")).to_be_visible()

    await rows.nth(1).get_by_role("button", name="Roll back").click()
    await page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await expect(rows.locator("code")).to_have_text([old, new, old])
    await expect(rows.nth(0)).to_contain_text("live")
    live = await Catalog(Folder(tmp_path), pool).resolve("default", "receipt")
    assert live is not None
    assert live.digest.startswith(old)
    actor = await pool.fetchval("select actor from audit where action = 'template.rollback'")
    assert actor == "dashboard"


async def test_revisions_of_what_is_not_live_yet_and_of_what_is_not_there(
    site: str, page: Page, receipt_file: Path
) -> None:
    await page.goto(f"{site}/ui/templates/receipt/revisions")
    for name in ("nothing/revisions", "receipt/revisions?ns=%00", "%00/revisions"):
        assert (await page.request.get(f"{site}/ui/templates/{name}")).status == 404, name
    refused = await page.request.post(
        f"{site}/ui/templates/receipt/rollback",
        form={"revision": "ffffffffff"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert refused.status == 422
    await page.goto(f"{site}/ui/templates/receipt/revisions")
    await expect(page.get_by_role("heading", name="Revisions")).to_be_visible()


async def test_what_is_declared_is_seen_at_once_and_nobody_reloads(
    site: str, page: Page, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    catalog = Catalog(Folder(tmp_path), pool)

    async def declare(words: str) -> None:
        sources = Sources("jinja", "index.html.j2", {"index.html.j2": f"<h1>{words}</h1>"}, subject=words)
        await catalog.publish("default", revise("welcome", sources), RESOURCE)

    await declare("Ahoy")
    await page.goto(f"{site}/ui/templates/welcome")
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Ahoy")
    await page.evaluate("window.untouched = true")
    await declare("Land in sight")
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Land in sight")
    assert await page.evaluate("window.untouched"), "The page was loaded again."
