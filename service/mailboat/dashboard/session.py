"""Sessions: who has shown the admin token gets a signed cookie. Nothing is kept; another token ends every session."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time

from mailboat.render.lru import Lru

COOKIE = "mailboat_session"
LASTS_SECONDS = 12 * 3600
TRIES, WITHIN_SECONDS = 10, 300.0  # wrong tokens that one address may send in so many seconds
ADDRESSES = 4096  # that are remembered


class Sessions:
    """Made of the admin token, which never leaves it; cookies are signed with a key derived from it."""

    def __init__(self, admin_token: str) -> None:
        self._token = admin_token.encode()
        self._key = hmac.digest(self._token, b"mailboat dashboard session 1", hashlib.sha256)
        self._wrong: Lru[str, list[float]] = Lru(ADDRESSES)

    def opened(self, token: str, address: str, now: float | None = None) -> str | None:
        """A new session's cookie, or None for a wrong token. Raises TooMany before it looks, after many of those."""
        now = time.monotonic() if now is None else now
        wrong = [at for at in self._wrong.get(address) or [] if now - at < WITHIN_SECONDS]
        if len(wrong) >= TRIES:
            raise TooMany(int(WITHIN_SECONDS - (now - wrong[0])) + 1)
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            self._wrong[address] = [*wrong, now]
            return None
        return self._signed(f"{int(time.time()) + LASTS_SECONDS}.{secrets.token_urlsafe(16)}")

    def holds(self, cookie: str) -> bool:
        """Whether this cookie is ours and not over."""
        said, _, _ = cookie.rpartition(".")
        if not hmac.compare_digest(cookie.encode("utf-8", "replace"), self._signed(said).encode("utf-8", "replace")):
            return False
        until = said.partition(".")[0]
        return until.isdecimal() and int(until) > time.time()

    def csrf(self, cookie: str) -> str:
        """The token that acts in this session have to carry."""
        return self._mark(b"csrf " + cookie.encode("utf-8", "replace"))

    def carries(self, cookie: str, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.csrf(cookie).encode())

    def _signed(self, said: str) -> str:
        return f"{said}.{self._mark(said.encode('utf-8', 'replace'))}"

    def _mark(self, text: bytes) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, hashlib.sha256)).rstrip(b"=").decode()


class TooMany(Exception):
    """Too many wrong tokens came from there; `seconds` until the next may."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong tokens: try again in {seconds} s.")
        self.seconds = seconds
