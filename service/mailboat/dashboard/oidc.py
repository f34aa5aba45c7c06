"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE, and what an ID token has to prove.

joserfc reads the token and checks its signature and claims. It is imported when the first person signs in this way, as
is httpx: an installation without OIDC pays for neither.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit

from mailboat.dashboard.session import Session
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings

if TYPE_CHECKING:
    import httpx
    from joserfc.jwk import KeySet

CALLBACK = "/ui/login/oidc/callback"
# Those of public keys: a token signed with what everybody may read, or with nothing, is never looked at.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
KEPT_SECONDS = 3600.0  # how long what a provider says about itself, and its keys, are believed
LEEWAY_SECONDS = 60  # by which clocks may differ
LARGEST_ANSWER = 262_144  # octets
ANSWER_SECONDS = 5.0
_WELL_KNOWN = "/.well-known/openid-configuration"


class SignInFault(Exception):
    """Somebody cannot sign in; the text is for that person. `status`: 403 may not, 400 not so, 502 the provider."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Words:
    """What only this browser's sign-in knows: `state` and `nonce` travel, of `verifier` a digest does."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Oidc:
    """The provider of the settings. Raises ConfigurationError for settings that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer, self._client_id = settings.oidc_issuer, settings.oidc_client_id
        self._claim = settings.oidc_claim
        self._admins, self._viewers = _listed(settings.oidc_admins), _listed(settings.oidc_viewers)
        self._domains = {domain.lower().lstrip("@") for domain in _listed(settings.oidc_domains)}
        _check(settings)
        self._back = settings.public_url.rstrip("/") + CALLBACK
        self._known: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def way_in(self, words: Words) -> str:
        """The address at the provider where somebody proves who they are. Raises SignInFault."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._back,
            "scope": self._settings.oidc_scopes,
            "state": words.state,
            "nonce": words.nonce,
            "code_challenge": words.challenge,
            "code_challenge_method": "S256",
        }
        return _with((await self._about())["authorization_endpoint"], asked)

    async def way_out(self) -> str | None:
        """The address at the provider where its own session ends too, if it has one. Raises SignInFault."""
        endpoint = (await self._about()).get("end_session_endpoint")
        if not isinstance(endpoint, str) or not _is_safe(endpoint):
            return None
        after = self._settings.public_url.rstrip("/") + "/ui/login"
        return _with(endpoint, {"client_id": self._client_id, "post_logout_redirect_uri": after})

    async def session(self, answer: Mapping[str, str], words: Words) -> Session:
        """Who came back from the provider with this answer. Raises SignInFault."""
        if answer.get("iss", self._issuer) != self._issuer:
            raise SignInFault(400, "The answer came from another provider than the one that was asked.")
        if "error" in answer:
            said = answer.get("error_description") or answer["error"]
            raise SignInFault(403, f"The provider refused: {said[:200]}")
        if not answer.get("code"):
            raise SignInFault(400, "The provider sent no code. Sign in again.")
        return self._session(await self._proven(await self._token(answer["code"], words), words))

    # ── What the claims mean ─────────────────────────────────────────────────────────────────────────────────────────

    def _session(self, claims: Mapping[str, Any]) -> Session:
        email = claims.get("email")
        name = next((word for word in (email, claims.get("preferred_username"), claims["sub"]) if word), "")
        name = str(name)[:200]
        if (self._domains or self._claim == "email") and claims.get("email_verified") not in (True, "true"):
            raise SignInFault(403, f"The provider does not say that the address of {name} is verified.")
        if self._domains and str(email or "").rpartition("@")[2].lower() not in self._domains:
            raise SignInFault(403, f"{name} is at none of the domains that may sign in: {', '.join(self._domains)}.")
        held = _values(claims, self._claim)
        if held & set(self._admins):
            return Session("admin", name)
        if held & set(self._viewers) or "*" in self._viewers:
            return Session("viewer", name)
        raise SignInFault(
            403,
            f"{name} may not look at this dashboard: the claim {self._claim!r} of the ID token holds none of the "
            "values that MAILBOAT_OIDC_ADMINS and MAILBOAT_OIDC_VIEWERS name.",
        )

    # ── The ID token ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _proven(self, token: str, words: Words) -> dict[str, Any]:
        """The claims of an ID token that is for us, of now, and signed by the provider."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        expected = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": words.nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            claims: dict[str, Any] = (await self._decoded(token)).claims
            expected.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _unproven(error) from None
        if claims.get("azp", self._client_id) != self._client_id:
            raise SignInFault(502, "The provider's ID token is for another application.")
        return claims

    async def _decoded(self, token: str) -> Any:
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            return jwt.decode(token, await self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # Perhaps it is signed with a key that the provider has made since.
            return jwt.decode(token, await self._key_set(again=True), algorithms=ALGORITHMS)

    async def _key_set(self, *, again: bool = False) -> KeySet:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        if self._keys is None or again or time.monotonic() - self._keys[0] > KEPT_SECONDS:
            found = await self._asked("GET", (await self._about())["jwks_uri"])
            try:
                # Symmetric keys have no place among public ones.
                public = [key for key in found["keys"] if key.get("kty") in ("RSA", "EC", "OKP")]
                self._keys = (time.monotonic(), KeySet.import_key_set({"keys": public}))
            except (JoseError, ValueError, TypeError, KeyError, AttributeError):
                raise SignInFault(502, "The provider's keys cannot be read.") from None
        return self._keys[1]

    async def _token(self, code: str, words: Words) -> str:
        """The ID token for a code, which is good once."""
        about = await self._about()
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": words.verifier,
            "client_id": self._client_id,
        }
        headers, secret = {}, self._settings.oidc_client_secret
        if secret and "client_secret_basic" in about.get(
            "token_endpoint_auth_methods_supported", "client_secret_basic"
        ):
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        elif secret:
            asked["client_secret"] = secret
        token = (await self._asked("POST", about["token_endpoint"], data=asked, headers=headers)).get("id_token")
        if not isinstance(token, str):
            raise SignInFault(502, "The provider sent no ID token: has MAILBOAT_OIDC_SCOPES the word openid?")
        return token

    async def _about(self) -> dict[str, Any]:
        """What the provider says about itself."""
        if self._known is None or time.monotonic() - self._known[0] > KEPT_SECONDS:
            found = await self._asked("GET", self._issuer.rstrip("/") + _WELL_KNOWN)
            if found.get("issuer") != self._issuer:
                said = str(found.get("issuer"))[:200]
                raise SignInFault(502, f"MAILBOAT_OIDC_ISSUER is {self._issuer!r}, and what is there says {said!r}.")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(found.get(name), str) or not _is_safe(found[name]):
                    raise SignInFault(502, f"The provider names no {name} that can be reached over https.")
            self._known = (time.monotonic(), found)
        return self._known[1]

    @cached_property
    def _authorities(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context()

    async def _asked(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """A JSON object of the provider's."""
        import httpx

        try:
            async with (
                httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=self._authorities) as http,
                http.stream(method, url, **more) as answer,
            ):
                content = await _content(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            where = urlsplit(url).netloc
            raise SignInFault(502, f"The provider at {where} does not answer ({type(error).__name__}).") from None
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict) or (answer.status_code != 200 and "error" not in found):
            raise SignInFault(502, f"{url} answered {answer.status_code} and nothing that can be read.")
        if answer.status_code != 200:
            said = str(found.get("error_description") or found["error"])[:200]
            raise SignInFault(403, f"The provider refused: {said}")
        return found


def _check(settings: Settings) -> None:
    if not _is_safe(settings.oidc_issuer):
        raise ConfigurationError(f"MAILBOAT_OIDC_ISSUER={settings.oidc_issuer!r}: it has to be an https:// address.")
    for field, why in (("oidc_client_id", "by which the provider knows us"), ("public_url", "to which it sends back")):
        if not getattr(settings, field):
            raise ConfigurationError(f"MAILBOAT_OIDC_ISSUER needs MAILBOAT_{field.upper()}, {why}.")
    if not _listed(settings.oidc_admins) and not _listed(settings.oidc_viewers):
        raise ConfigurationError(
            "MAILBOAT_OIDC_ISSUER needs MAILBOAT_OIDC_ADMINS or MAILBOAT_OIDC_VIEWERS: nobody could sign in."
        )
    if "*" in _listed(settings.oidc_admins):
        raise ConfigurationError("MAILBOAT_OIDC_ADMINS: name the values that make an admin; * is for viewers alone.")


def _is_safe(url: str) -> bool:
    """https, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listed(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]


def _values(claims: Mapping[str, Any], name: str) -> set[str]:
    """What a claim holds: one word or several. `realm_access.roles` is what is below another, unless it is a name."""
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return {str(one) for one in found} if isinstance(found, list) else {str(found)} if found is not None else set()


def _with(url: str, query: Mapping[str, str]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(query)


async def _content(answer: httpx.Response) -> bytes:
    content = b""
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise SignInFault(502, "The provider's answer does not end.")
    return content


def _unproven(error: Exception) -> SignInFault:
    """Which check an ID token did not pass, without anything that is in it."""
    claim = getattr(error, "claim", None)
    word = f"its {claim}" if claim else type(error).__name__
    return SignInFault(403, f"The provider's ID token proves nothing ({word}). Sign in again; if it stays, check "
                       "MAILBOAT_OIDC_ISSUER, MAILBOAT_OIDC_CLIENT_ID and the clocks of both machines.")  # fmt: skip
