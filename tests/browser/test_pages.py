"""Every page with real mail of every kind, as somebody uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from playwright.async_api import Page, expect

from mailboat.db.states import State
from mailboat.domain import identifier

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]
SCRIPT = "<script>alert(1)</script>"


async def test_a_bounced_mail_is_found_and_says_why(site: str, page: Page, send: Send) -> None:
    await send("grace@example.net", event="delivered")
    await send("gone@example.org", event="bounced", words="550 5.1.1 user unknown")
    await page.goto(f"{site}/ui/messages")
    await expect(page.locator("tbody .go")).to_have_text(["gone@example.org", "grace@example.net"])
    await page.get_by_role("combobox", name="Status").select_option("bounced")
    await expect(page.locator("tbody .go")).to_have_text(["gone@example.org"])
    await expect(page).to_have_url(f"{site}/ui/messages?q=&status=bounced&client=&template=&time=")
    await page.get_by_role("link", name="gone@example.org").click()
    await expect(page.get_by_text("There is no such mailbox at the recipient's domain.").first).to_be_visible()
    await expect(page.locator(".timeline h3")).to_have_text(
        ["Accepted", "Attempt 1: sent by ses-eu", "Bounced: gone@example.org"]
    )
    await expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("Hello gone@example.org")


async def test_messages_are_found_by_recipient_and_by_id_and_paged(site: str, page: Page, send: Send) -> None:
    ids = [await send(f"user-{n}@example.com", ago=1000 - n) for n in range(60)]
    await page.goto(f"{site}/ui/messages")
    await expect(page.locator("tbody .go")).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("tbody .go").last).to_have_text("user-0@example.com")
    await expect(page.locator("tbody .go")).to_have_count(10)
    await page.locator("main").get_by_role("searchbox").fill("USER-17@")
    await expect(page.locator("tbody .go")).to_have_text(["user-17@example.com"])
    await page.locator("main").get_by_role("searchbox").fill(str(ids[3]))
    await expect(page.locator("tbody .go")).to_have_text(["user-3@example.com"])
    await page.locator("main").get_by_role("searchbox").fill("nobody%")
    await expect(page.get_by_text("No message fits")).to_be_visible()


async def test_a_scheduled_mail_is_cancelled(site: str, page: Page, send: Send, pool: asyncpg.Pool) -> None:
    message_id = await send("later@example.com", State.SCHEDULED, ago=-3600)
    await page.goto(f"{site}/ui/messages/{message_id}")
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel this mail").click()
    await expect(page.locator("h1 + .sub .pill")).to_have_text("cancelled")
    assert await pool.fetchval("select state from queue where id = $1", message_id) == State.CANCELLED
    assert await pool.fetchval("select action from audit") == "message.cancel"


async def test_dead_letters_are_grouped_by_reason_and_replayed(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    for n in range(7):
        await send(f"late-{n}@example.com", State.DEAD, words="Timed out after 10 s")
    await send("other@example.com", State.DEAD, words="503 Service Unavailable")
    await page.goto(f"{site}/ui/dead-letters")
    await expect(page.locator(".side .count")).to_have_text("8 to look at")
    await expect(page.locator("#groups h2")).to_have_text(["Timed out after 10 s", "503 Service Unavailable"])
    await page.locator("#groups .card").first.get_by_role("button", name="Replay").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    await expect(page.locator("#job h2")).to_have_text("7 messages are queued again")
    await page.get_by_role("link", name="Show what is left").click()
    await expect(page.locator("#groups h2")).to_have_text(["503 Service Unavailable"])
    await page.locator("tbody").get_by_role("button", name="Replay").click()
    await expect(page.get_by_text("Queued again")).to_be_visible()
    assert await pool.fetchval("select count(*) from queue where state = 1") == 8


async def test_the_dead_letters_of_yesterday_are_replayed_and_no_others(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    yesterday = [await send(f"yesterday-{n}@example.com", State.DEAD, words="Timed out", ago=86400) for n in range(3)]
    await send("today@example.com", State.DEAD, words="Timed out", ago=0)
    await send("older@example.com", State.DEAD, words="Timed out", ago=3 * 86400)
    await page.goto(f"{site}/ui")
    await page.get_by_role("link", name="Look and replay").click()
    await page.get_by_label("Stopped").select_option("Yesterday")
    await expect(page.get_by_role("status").filter(has_text="reason")).to_contain_text("3 messages")
    await page.get_by_role("button", name="Replay all").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay all").click()
    await expect(page.locator("#job h2")).to_have_text("3 messages are queued again")
    queued = await pool.fetch("select id from queue where state = 1 order by id")
    assert [row["id"] for row in queued] == sorted(yesterday)


async def test_a_long_replay_goes_on_until_all_are_queued(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    first = await send("many@example.com", State.DEAD, words="Timed out")
    await pool.execute(
        """with copies as (select unnest($2::uuid[]) as id),
           made as (insert into messages (id, client_id, created_at, envelope, data, traceparent)
                    select c.id, client_id, created_at, envelope, data, traceparent from messages, copies c
                    where messages.id = $1 returning id)
           insert into queue (id, client_id, lane, state, attempts, run_at, error, updated_at)
           select made.id, client_id, 1, 5, 1, run_at, error, updated_at from queue, made where queue.id = $1""",
        first,
        [identifier.new() for _ in range(2500)],
    )
    await page.goto(f"{site}/ui/dead-letters")
    await page.get_by_role("button", name="Replay all").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay all").click()
    await expect(page.locator("#job h2")).to_have_text("2,501 messages are queued again")
    assert await pool.fetchval("select count(*) from queue where state = 1") == 2501
    assert await pool.fetchval("select sum((detail ->> 'messages')::int) from audit") == 2501


async def test_held_mail_is_sent_again_or_not(site: str, page: Page, send: Send, pool: asyncpg.Pool) -> None:
    again = await send("again@example.com", State.HELD, words="Connection reset after the final dot")
    never = await send("never@example.com", State.HELD, words="Read timed out")
    await page.goto(f"{site}/ui/held")
    card = page.locator("article", has_text="again@example.com")
    await card.get_by_role("button", name="Send again", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Send again", exact=True).click()
    await expect(page.get_by_text("It is queued again.")).to_be_visible()
    card = page.locator("article", has_text="never@example.com")
    await card.get_by_role("button", name="Do not send again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Fail it").click()
    await expect(page.get_by_text("It is not sent again.")).to_be_visible()
    assert await pool.fetchval("select state from queue where id = $1", again) == State.QUEUED
    assert await pool.fetchval("select state from queue where id = $1", never) == State.FAILED


async def test_the_overview_says_what_needs_a_person_and_counts_the_rest(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    for n in range(12):
        await send(f"user-{n}@example.com", event="delivered", ago=600 * n + 60)
    await send("gone@example.org", event="bounced", words="550 5.1.1 user unknown")
    await send("waits@example.org", State.QUEUED, ago=120)
    await send("dead@example.org", State.DEAD, words="Timed out")
    await page.goto(f"{site}/ui")
    await expect(page.locator(".todo h3").first).to_contain_text("Worker needs a look")
    await expect(page.get_by_role("heading", name="1 dead letter", exact=True)).to_be_visible()
    await expect(page.locator(".stats dd:nth-of-type(1)")).to_contain_text(["15", "13", "12", "1", "1", "1"])
    await expect(page.locator(".lane b").nth(1)).to_contain_text("2\u202fmin")
    await page.locator("#flow .plot").first.locator(".hits rect").last.hover()
    await expect(page.locator("#flow .readout").first).to_contain_text("accepted")
    await page.get_by_role("link", name="1 h", exact=True).click()
    await expect(page.locator(".stats dd").first).to_have_text("9")


async def test_the_overview_leads_to_what_keeps_mail_or_news_from_going(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    """A route to nowhere, a circuit that is open, an endpoint that fails and one that was paused for it."""
    await send()
    client = await pool.fetchval("update clients set route = '{inbox,ses-gone}' where name = 'storefront' returning id")
    await pool.execute("insert into circuit_changes (provider, state, reason) values ('inbox', 'open', '5 timeouts')")
    for url, paused in (("https://a.example/hook", None), ("https://b.example/hook", "failed for 3 days")):
        await pool.execute(
            """insert into webhook_endpoints (id, client_id, url, sealed, failures, failing_since, paused_at,
               paused_reason) values ($1, $2, $3, '', 7, now() - interval '2 hours', $4, $5)""",
            identifier.new(), client, url, datetime.now(UTC) if paused else None, paused,
        )  # fmt: skip
    expected = (
        ("storefront: the route names ses-gone, which is not there", "Open client", "has no such EmailProvider"),
        ("inbox takes no mail", "See providers", "What the circuit did"),
        ("A webhook endpoint fails", "See what it said", "https://a.example/hook"),
        ("A webhook endpoint is paused", "See what it said", "https://b.example/hook"),
    )
    for title, verb, there in expected:
        await page.goto(f"{site}/ui")
        thing = page.locator(".todo li", has_text=title)
        await thing.get_by_role("link", name=verb).click()
        await expect(page.get_by_text(there).first).to_be_visible()
    await pool.execute("update clients set route = '{}'; delete from webhook_endpoints")


async def test_nothing_that_anybody_sends_runs_in_a_page(site: str, page: Page, send: Send) -> None:
    """The fixture `page` fails for whatever a script or the content policy says."""
    message_id = await send("ada@example.com", State.DEAD, words=SCRIPT, client="storefront")
    for path in ("", "/messages", f"/messages/{message_id}", "/dead-letters", f"/messages?q={SCRIPT}"):
        await page.goto(f"{site}/ui{path}")
    await page.goto(f"{site}/ui/dead-letters")
    await expect(page.locator("#groups h2")).to_have_text(SCRIPT)


async def test_a_key_is_made_rotated_and_revoked_and_its_secret_shown_once(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    await pool.execute("delete from clients")
    await page.goto(f"{site}/ui/clients")
    await page.get_by_label("Name").fill("storefront")
    await page.get_by_label("Sender").fill("orders@shop.example.com")
    await page.get_by_role("button", name="Make it").click()
    await expect(page).to_have_url(f"{site}/ui/clients/default/storefront")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_role("dialog").get_by_role("button", name="Make a key").click()
    first = await page.locator("#key").text_content()
    await page.get_by_role("button", name="Rotate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    await expect(page.locator("#key")).not_to_have_text(first or "")
    await expect(page.locator("#keys tbody .pill")).to_have_text(["in use", "ends soon"])
    secret = await page.locator("#secret").text_content()
    row = page.locator("#keys tbody tr", has_text=first or "")
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name=f"Revoke {first}").click()
    await expect(page.locator("#keys tbody .pill")).to_have_text(["in use", "revoked"])
    await page.reload()
    assert secret not in await page.content()
    await page.get_by_role("button", name="Suspend").click()
    await page.get_by_role("dialog").get_by_role("button", name="Suspend storefront").click()
    await expect(page.locator("h1 + .sub .pill")).to_have_text("suspended")
    await page.goto(f"{site}/ui/audit")
    acts = ["client.suspend", "key.revoke", "key.rotate", "key.create", "client.create"]
    await expect(page.locator("tbody td:nth-child(3)")).to_have_text(acts)
    await page.locator("main").get_by_role("searchbox").fill("revoke")
    await expect(page.locator("tbody td:nth-child(3)")).to_have_text(["key.revoke"])


async def test_an_address_is_suppressed_by_hand_and_allowed_again(site: str, page: Page, pool: asyncpg.Pool) -> None:
    await page.goto(f"{site}/ui/suppressions")
    await page.get_by_role("textbox", name="Address").fill("CEO@tailspin.example")
    await page.get_by_role("textbox", name="Why").fill(SCRIPT)
    await page.get_by_role("button", name="Suppress", exact=True).click()
    await expect(page.locator("tbody th")).to_have_text("ceo@tailspin.example")
    await expect(page.locator("tbody .words")).to_have_text(SCRIPT)
    await page.get_by_role("searchbox", name="Search").fill("tailspin")
    await expect(page).to_have_url(f"{site}/ui/suppressions?q=tailspin&reason=")
    await expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)
    await page.get_by_role("button", name="Allow again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Allow again").click()
    await expect(page.get_by_text("may be mailed again")).to_be_visible()
    assert await pool.fetchval("select count(*) from suppressions") == 0


async def test_a_failing_provider_stands_out_with_its_latest_words(site: str, page: Page, send: Send) -> None:
    await send("ada@example.com", State.DEAD, words="535 5.7.8 authentication failed")
    await page.goto(f"{site}/ui/providers")
    card = page.locator("article", has_text="ses-eu")
    await expect(card.locator(".pill")).to_have_text("failing")
    await expect(card.locator(".quote")).to_have_text("535 5.7.8 authentication failed")
