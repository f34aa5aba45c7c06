"""Sessions: who has proven who they are gets a signed cookie. Nothing is kept; another token ends every session."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Literal

from mailboat.render.lru import Lru

COOKIE = "mailboat_session"
LASTS_SECONDS = 12 * 3600
TRIES, WITHIN_SECONDS = 10, 300.0  # failures to sign in that one address may have in so many seconds
ADDRESSES = 4096  # that are remembered

Role = Literal["admin", "viewer"]
ROLES: tuple[Role, ...] = ("admin", "viewer")


@dataclass(frozen=True)
class Session:
    """What somebody may: an admin everything, a viewer look. `name`: as the OIDC provider has it; of a token empty."""

    role: Role
    name: str = ""

    @property
    def may_act(self) -> bool:
        return self.role == "admin"


class Sessions:
    """Made of the two tokens, which never leave it; cookies are signed with a key derived from them."""

    def __init__(self, admin_token: str, viewer_token: str = "") -> None:
        self._tokens: dict[Role, bytes] = {"admin": admin_token.encode()}
        if viewer_token:
            self._tokens["viewer"] = viewer_token.encode()
        seed = b"mailboat dashboard session 2\0" + viewer_token.encode()
        self._key = hmac.digest(admin_token.encode(), seed, hashlib.sha256)
        self._failed: Lru[str, list[float]] = Lru(ADDRESSES)

    def of_token(self, token: str, address: str, now: float | None = None) -> Session | None:
        """What a token opens, None if it is wrong. Raises TooMany before it looks, after many of those."""
        self.check(address, now)
        given = token.encode("utf-8", "replace")
        fits = [role for role, known in self._tokens.items() if hmac.compare_digest(given, known)]
        if not fits:
            self.failed(address, now)
            return None
        return Session(fits[0])

    def check(self, address: str, now: float | None = None) -> None:
        """Raises TooMany after many failures to sign in from there."""
        now = time.monotonic() if now is None else now
        failed = self._lately(address, now)
        if len(failed) >= TRIES:
            raise TooMany(int(WITHIN_SECONDS - (now - failed[0])) + 1)

    def failed(self, address: str, now: float | None = None) -> None:
        """Somebody there could not sign in."""
        now = time.monotonic() if now is None else now
        self._failed[address] = [*self._lately(address, now), now]

    def _lately(self, address: str, now: float) -> list[float]:
        return [at for at in self._failed.get(address) or [] if now - at < WITHIN_SECONDS]

    def cookie(self, session: Session) -> str:
        """The cookie of a new session."""
        name = base64.urlsafe_b64encode(session.name.encode("utf-8", "replace")).decode()
        return self.signed(f"{session.role}.{name}.{secrets.token_urlsafe(16)}", LASTS_SECONDS)

    def session(self, cookie: str) -> Session | None:
        """Whose session this cookie is; None when it is not ours, or over."""
        role, _, rest = (self.said(cookie) or "").partition(".")
        found: Role | None = next((one for one in ROLES if one == role), None)
        return Session(found, base64.urlsafe_b64decode(rest.partition(".")[0]).decode()) if found else None

    def csrf(self, cookie: str) -> str:
        """The token that acts in this session have to carry."""
        return self.mark("csrf " + cookie)

    def carries(self, cookie: str, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.csrf(cookie).encode())

    def signed(self, text: str, seconds: int) -> str:
        """A text that `said` gives back while so many seconds last."""
        said = f"{int(time.time()) + seconds}.{text}"
        return f"{said}.{self.mark('said ' + said)}"

    def said(self, cookie: str) -> str | None:
        """What we signed, unless it is forged or over."""
        said, _, mark = cookie.rpartition(".")
        if not hmac.compare_digest(mark.encode("utf-8", "replace"), self.mark("said " + said).encode()):
            return None
        until, _, text = said.partition(".")
        return text if int(until) > time.time() else None

    def mark(self, text: str) -> str:
        """43 characters that only who has the key can make of this text. Each use puts its own word in front."""
        digest = hmac.digest(self._key, text.encode("utf-8", "replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class TooMany(Exception):
    """Too many failures to sign in came from there; `seconds` until the next may."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many failures to sign in: try again in {seconds} s.")
        self.seconds = seconds
