"""Signing in with the admin token: who has not is shown nothing and can do nothing."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import httpx
import pytest
from playwright.async_api import BrowserContext, Page, expect

from mailboat.dashboard.session import COOKIE, TRIES, WITHIN_SECONDS, Session, Sessions, TooMany
from mailboat.settings import Settings

TOKEN = "the-admin-token-of-this-test"


def settings(folder: Path) -> Settings:
    return Settings(dashboard="login", admin_token=TOKEN, templates=str(folder))


def test_a_session_is_what_was_signed_with_this_token_and_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(TOKEN)
    viewer = Session("viewer", "Ada . Lovelace <ada@example.com>")
    cookie = sessions.cookie(viewer)
    assert sessions.session(cookie) == viewer
    for forged in ("", ".", "9999999999.x.", cookie[:-1], cookie.replace(".", "1.", 1), f"9{cookie}", "\udcff"):
        assert sessions.session(forged) is None
    for forged in (cookie.replace("viewer", "admin"), sessions.signed("sign-in.x.x", 600), sessions.csrf(cookie)):
        assert sessions.session(forged) is None
    for others in (Sessions("another token"), Sessions(TOKEN, "a viewer token")):
        assert others.session(cookie) is None
    monkeypatch.setattr("time.time", lambda: 4_000_000_000)
    assert sessions.session(cookie) is None


def test_each_token_opens_its_role_and_no_other_opens_any() -> None:
    sessions = Sessions(TOKEN, "look")
    assert sessions.of_token(TOKEN, "10.0.0.1") == Session("admin")
    assert sessions.of_token("look", "10.0.0.1") == Session("viewer")
    for wrong in ("", "loo", f"{TOKEN}look"):
        assert sessions.of_token(wrong, "10.0.0.1") is None
    assert Sessions(TOKEN).of_token("", "10.0.0.1") is None


def test_wrong_tokens_are_few_per_address() -> None:
    sessions = Sessions(TOKEN)
    for n in range(TRIES):
        assert sessions.of_token("guess", "10.0.0.1", now=float(n)) is None
    with pytest.raises(TooMany):
        sessions.of_token(TOKEN, "10.0.0.1", now=float(TRIES))
    assert sessions.of_token(TOKEN, "10.0.0.2", now=float(TRIES))
    assert sessions.of_token(TOKEN, "10.0.0.1", now=TRIES + WITHIN_SECONDS)


@pytest.mark.asyncio(loop_scope="session")
async def test_nobody_gets_anything_without_a_session(serve, tmp_path: Path, pool: asyncpg.Pool) -> None:
    async with serve(settings(tmp_path)) as origin, httpx.AsyncClient(base_url=origin) as http:
        ours = {"Sec-Fetch-Site": "same-origin"}
        for path in ("/ui", "/ui/messages?q=ada", "/ui/inbox/stream", "/ui/templates", "/ui/nav", "/ui/clients"):
            answer = await http.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/ui/login?next=%2Fui")
        for path in ("/ui/suppressions", "/ui/clients/default/a/keys", "/ui/dead-letters/replay", "/ui/logout"):
            assert (await http.post(path, headers=ours)).status_code == 401
        # A session alone does not act: the page's token goes with it, and the request comes from our own page.
        signed_in = await http.post("/ui/login", data={"token": TOKEN, "next": "//evil.example"}, headers=ours)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/ui")
        cookie = signed_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        added = {"address": "ada@example.com"}
        assert (await http.post("/ui/suppressions", data=added, headers=ours)).status_code == 403
        token = Sessions(TOKEN).csrf(http.cookies[COOKIE])
        foreign = {"Origin": "http://evil.example", "X-CSRF-Token": token}
        assert (await http.post("/ui/suppressions", data=added, headers=foreign)).status_code == 403
        assert await pool.fetchval("select count(*) from suppressions") == 0
        both = {**ours, "X-CSRF-Token": token}
        assert (await http.post("/ui/suppressions", data=added, headers=both)).status_code == 200


@pytest.mark.asyncio(loop_scope="session")
async def test_one_signs_in_acts_and_signs_out(serve, browser: BrowserContext, tmp_path: Path) -> None:
    page: Page = await browser.new_page()
    async with serve(settings(tmp_path)) as origin:
        await page.goto(f"{origin}/ui/suppressions?q=x")
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("That is not a token of this dashboard.")
        await page.get_by_label("Token").fill(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{origin}/ui/suppressions?q=x")
        await page.get_by_role("textbox", name="Address").fill("ada@example.com")
        await page.get_by_role("button", name="Suppress", exact=True).click()
        await expect(page.locator("tbody th")).to_have_text("ada@example.com")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in to Mailboat")).to_be_visible()
        await page.goto(f"{origin}/ui/suppressions")
        await expect(page.get_by_role("heading", name="Sign in to Mailboat")).to_be_visible()
        await page.goto("about:blank")
