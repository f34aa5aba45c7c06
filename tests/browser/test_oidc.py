"""Signing in with an OpenID Connect provider that is real, and with one that lies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.async_api import BrowserContext, expect
from pytest_asyncio import fixture
from tests.browser.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, provider

from mailboat.dashboard.oidc import CALLBACK, Oidc
from mailboat.dashboard.session import COOKIE, TRIES, Sessions
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "the-admin-token-of-this-test"
ADA = {"email": "ada@example.com", "email_verified": True, "groups": ["staff", "mail-admins"]}


def settings(issuer: str, folder: Path, **changes: Any) -> Settings:
    given = {
        "dashboard": "login",
        "admin_token": TOKEN,
        "public_url": "http://localhost:1",
        "oidc_issuer": issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_admins": "mail-admins",
        "oidc_viewers": "staff, support",
        "templates": str(folder),
    }
    return Settings(**{**given, **changes})


@fixture(scope="module", loop_scope="session")
async def idp() -> AsyncIterator[Provider]:
    async with provider() as idp:
        yield idp


@pytest.fixture(autouse=True)
def honest(idp: Provider) -> None:
    idp.user, idp.about, idp.twist = dict(ADA), {}, lambda header, claims: (header, claims)


@pytest.fixture
def visit(serve: Any, idp: Provider, tmp_path: Path) -> Callable[..., Any]:
    @contextlib.asynccontextmanager
    async def visit(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with (
            serve(settings(idp.issuer, tmp_path, **changes)) as origin,
            httpx.AsyncClient(base_url=origin) as http,
        ):
            yield http

    return visit


async def way(http: httpx.AsyncClient, wanted: str = "/ui/audit") -> str:
    left = await http.get("/ui/login/oidc", params={"next": wanted})
    assert left.status_code == 303, left.text
    return left.headers["location"]


async def sign_in(http: httpx.AsyncClient, idp: Provider, wanted: str = "/ui/audit") -> httpx.Response:
    return await http.get(CALLBACK, params=idp.consent(await way(http, wanted)))


def session_of(http: httpx.AsyncClient) -> Any:
    return Sessions(TOKEN).session(http.cookies.get(COOKIE, ""))


@pytest.mark.parametrize(
    ("claims", "changes", "role"),
    [
        ({}, {}, "admin"),
        ({"groups": ["support"]}, {}, "viewer"),
        ({"groups": "support"}, {}, "viewer"),
        ({"groups": []}, {"oidc_viewers": "*"}, "viewer"),
        ({"realm_access": {"roles": ["boss"]}}, {"oidc_claim": "realm_access.roles", "oidc_admins": "boss"}, "admin"),
        ({}, {"oidc_claim": "email", "oidc_admins": "ada@example.com"}, "admin"),
        ({}, {"oidc_domains": "example.org, example.com"}, "admin"),
        ({"groups": ["mail-admin", "staffs"]}, {}, None),
        ({"groups": {"mail-admins": True}}, {}, None),
        ({"groups": None}, {}, None),
        ({"email_verified": False}, {"oidc_claim": "email", "oidc_admins": "ada@example.com"}, None),
        ({"email_verified": False}, {"oidc_domains": "example.com"}, None),
        ({"email": "ada@sub.example.com"}, {"oidc_domains": "example.com"}, None),
        ({"email": "ada@example.com@evil.example"}, {"oidc_domains": "example.com"}, None),
    ],
)
async def test_the_claim_decides_who_may_look_and_act(
    visit: Any, idp: Provider, claims: dict[str, Any], changes: dict[str, str], role: str | None
) -> None:
    idp.user |= claims
    async with visit(**changes) as http:
        answer = await sign_in(http, idp)
        assert answer.status_code == (200 if role else 403)
        assert getattr(session_of(http), "role", None) == role
        assert "ada@" in answer.text  # both say whom the provider named
        page = await http.get("/ui/audit")
        assert page.status_code == (200 if role else 303)


def without(*names: str) -> Callable[..., Any]:
    return lambda header, claims: (header, {k: v for k, v in claims.items() if k not in names})


LIES: dict[str, Callable[..., Any]] = {
    "a wrong nonce": lambda header, claims: (header, {**claims, "nonce": "of-another-sign-in"}),
    "no nonce": without("nonce"),
    "alg none": lambda header, claims: ({**header, "alg": "none"}, claims),
    "HS256 with the public key": lambda header, claims: ({**header, "alg": "HS256"}, claims),
    "HS256 with a published secret": lambda header, claims: ({**header, "alg": "HS256", "kid": "shared"}, claims),
    "a key of somebody else": lambda header, claims: ({**header, "foreign": True}, claims),
    "a key that is not there": lambda header, claims: ({**header, "kid": "unknown", "foreign": True}, claims),
    "expired": lambda header, claims: (header, {**claims, "exp": claims["iat"] - 61}),
    "no end": without("exp"),
    "from the future": lambda header, claims: (header, {**claims, "iat": claims["iat"] + 3600}),
    "another audience": lambda header, claims: (header, {**claims, "aud": "another"}),
    "another party": lambda header, claims: (header, {**claims, "aud": [CLIENT_ID, "another"], "azp": "another"}),
    "another issuer": lambda header, claims: (header, {**claims, "iss": "https://evil.example"}),
    "no issuer": without("iss"),
    "nobody": without("sub"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_an_id_token_that_proves_nothing_opens_nothing(visit: Any, idp: Provider, lie: Any) -> None:
    idp.twist = lie
    async with visit() as http:
        answer = await sign_in(http, idp)
        assert answer.status_code in (403, 502)
        assert "ID token" in answer.text
        assert session_of(http) is None


async def test_an_answer_is_good_once_and_in_the_browser_that_asked(visit: Any, idp: Provider) -> None:
    async with visit() as http:
        back = idp.consent(await way(http))
        kept = http.cookies["mailboat_sign_in"]
        for wrong in ({**back, "state": "guessed"}, {**back, "state": ""}, {"code": back["code"]}):
            await way(http)
            assert (await http.get(CALLBACK, params=wrong)).status_code == 400
        await way(http)
        assert (await http.get(CALLBACK, params=back)).status_code == 400  # of an earlier sign-in
        http.cookies.clear()
        assert (await http.get(CALLBACK, params=back)).status_code == 400  # another browser
        cookie = {"Cookie": f"mailboat_sign_in={kept}"}
        elsewhere = {**back, "iss": "https://evil.example"}
        assert (await http.get(CALLBACK, params=elsewhere, headers=cookie)).status_code == 400
        assert session_of(http) is None
        assert (await http.get(CALLBACK, params=back, headers=cookie)).status_code == 200
        http.cookies.clear()
        again = await http.get(CALLBACK, params=back, headers=cookie)  # the code, replayed
        assert again.status_code == 403
        assert "That code is not good." in again.text
        assert session_of(http) is None


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/ui//evil.example", "/\\evil.example", "/uix", "javascript:0"]
)
async def test_a_sign_in_leads_to_no_other_host(visit: Any, idp: Provider, wanted: str) -> None:
    async with visit() as http:
        answer = await sign_in(http, idp, wanted)
        assert 'content="0; url=/ui"' in answer.text
        assert "evil" not in answer.text


async def test_a_sign_in_that_cannot_be_is_a_page_that_says_why(visit: Any, idp: Provider, pool: asyncpg.Pool) -> None:
    async with visit() as http:
        back = idp.consent(await way(http))
        refused = {"state": back["state"], "error": "access_denied", "error_description": "<b>Not today</b>"}
        answer = await http.get(CALLBACK, params=refused)
        assert answer.status_code == 403
        assert "&lt;b&gt;Not today&lt;/b&gt;" in answer.text
    for about, word in [
        ({"issuer": "https://another.example"}, "MAILBOAT_OIDC_ISSUER is"),
        ({"token_endpoint": "http://evil.example/token"}, "token_endpoint"),
        ({"token_endpoint": "http://127.0.0.1:9/token"}, "does not answer"),
    ]:
        idp.about = about
        async with visit() as http:
            answer = await http.get("/ui/login/oidc")
            if answer.status_code == 303:
                answer = await http.get(CALLBACK, params=idp.consent(answer.headers["location"]))
            assert answer.status_code == 502
            assert word in answer.text
    idp.about = {}
    async with visit(oidc_client_secret="wrong") as http:
        assert "invalid_client" in (await sign_in(http, idp)).text
        for _ in range(TRIES - 1):
            await sign_in(http, idp)
        assert (await sign_in(http, idp)).status_code == 429
    assert await pool.fetchval("select count(*) from audit where action = 'login.refused'") >= TRIES


async def test_a_key_that_the_provider_made_since_is_fetched(visit: Any, idp: Provider) -> None:
    async with visit() as http:
        assert (await sign_in(http, idp)).status_code == 200
        idp.rotate()
        http.cookies.clear()
        assert (await sign_in(http, idp)).status_code == 200


async def test_signing_out_ends_the_session_at_the_provider_too(visit: Any, idp: Provider) -> None:
    async with visit() as http:
        await sign_in(http, idp)
        acts = {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": Sessions(TOKEN).csrf(http.cookies[COOKIE])}
        answer = await http.post("/ui/logout", headers=acts)
        assert answer.headers["hx-redirect"].startswith(f"{idp.issuer}/logout?client_id={CLIENT_ID}&")
        assert COOKIE not in http.cookies


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oidc_issuer": "http://idp.example.com"}, "MAILBOAT_OIDC_ISSUER"),
        ({"oidc_client_id": ""}, "MAILBOAT_OIDC_CLIENT_ID"),
        ({"public_url": ""}, "MAILBOAT_PUBLIC_URL"),
        ({"oidc_admins": "", "oidc_viewers": " , "}, "MAILBOAT_OIDC_ADMINS"),
        ({"oidc_admins": "*"}, "MAILBOAT_OIDC_ADMINS"),
    ],
)
async def test_settings_that_cannot_work_name_the_variable(tmp_path: Path, changes: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Oidc(settings("https://idp.example.com", tmp_path, **changes))


async def test_without_oidc_nothing_of_it_is_imported() -> None:
    code = "import sys, mailboat.api.app; print({'joserfc', 'httpx'} & set(sys.modules))"
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


async def test_one_signs_in_with_the_provider_acts_by_name_and_signs_out(
    serve: Any, browser: BrowserContext, idp: Provider, tmp_path: Path, pool: asyncpg.Pool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = await browser.new_page()
    async with serve(settings(idp.issuer, tmp_path, public_url=f"http://localhost:{port}"), port=port) as origin:
        await page.goto(f"{origin}/ui/suppressions?q=x")
        await page.get_by_role("link", name="Sign in with single sign-on").click()
        await page.get_by_role("link", name="I am Ada").click()
        await expect(page).to_have_url(f"{origin}/ui/suppressions?q=x")
        await expect(page.locator(".who")).to_contain_text("ada@example.com")
        await page.get_by_role("textbox", name="Address").fill("eve@example.com")
        await page.get_by_role("button", name="Suppress", exact=True).click()
        await expect(page.locator("tbody th")).to_have_text("eve@example.com")
        assert await pool.fetchval("select actor from audit where action = 'suppression.add'") == (
            "dashboard, ada@example.com"
        )
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_title("Signed out")
        await page.goto(f"{origin}/ui/suppressions")
        await expect(page.get_by_role("heading", name="Sign in to Mailboat")).to_be_visible()
        idp.user["groups"] = ["support"]
        await page.get_by_role("link", name="Sign in with single sign-on").click()
        await page.get_by_role("link", name="I am Ada").click()
        await expect(page.get_by_role("heading", name="Suppressions")).to_be_visible()
        await expect(page.get_by_role("button", name="Suppress", exact=True)).to_have_count(0)
        await page.goto("about:blank")
