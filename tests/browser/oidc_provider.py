"""An OpenID Connect provider on a socket of its own: real keys, single-use codes, PKCE. `twist` makes it lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import uvicorn
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "mailboat", "a secret: 50% & more"
Signed = tuple[dict[str, Any], dict[str, Any]]


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Provider:
    """`user` are the claims about who signs in next; `twist(header, claims)` gives those that are signed instead."""

    def __init__(self, origin: str) -> None:
        self.issuer = origin
        self.user: dict[str, Any] = {}
        self.twist: Callable[[dict[str, Any], dict[str, Any]], Signed] = lambda header, claims: (header, claims)
        self.about: dict[str, Any] = {}
        self.rotate()
        self._codes: dict[str, dict[str, str]] = {}
        self._lent = rsa.generate_private_key(65537, 2048)

    def rotate(self) -> None:
        """Another key, under another name."""
        self.key, self.kid = rsa.generate_private_key(65537, 2048), secrets.token_hex(4)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
                Route("/logout", self.logout),
            ]
        )

    def consent(self, address: str) -> dict[str, str]:
        """What the provider sends back with, once the person at this address has said yes."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (
            CLIENT_ID,
            "code",
            "S256",
        )
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    async def discovery(self, _: Request) -> Response:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys",
                 "end_session_endpoint": "logout"}  # fmt: skip
        about = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        return JSONResponse({"issuer": self.issuer, **about, **self.about})

    async def authorize(self, request: Request) -> Response:
        back = dict(request.query_params)["redirect_uri"] + "?" + urlencode(self.consent(str(request.url)))
        return HTMLResponse(f'<title>Provider</title><a href="{back.replace("&", "&amp;")}">I am Ada</a>')

    async def logout(self, request: Request) -> Response:
        return HTMLResponse("<title>Signed out</title>")

    async def keys(self, _: Request) -> Response:
        public = self.key.public_key().public_numbers()
        # A careless provider's shared secret is among them: nothing may be verified with it.
        shared = {"kty": "oct", "k": b64(b"everybody reads this"), "kid": "shared"}
        ours = {"kty": "RSA", "use": "sig", "kid": self.kid, "n": number(public.n), "e": number(public.e)}
        return JSONResponse({"keys": [shared, ours]})

    async def token(self, request: Request) -> Response:
        given = dict(parse_qsl((await request.body()).decode()))
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        known = [unquote_plus(half) for half in base64.b64decode(pair).decode().split(":")]
        if scheme != "Basic" or known != [CLIENT_ID, CLIENT_SECRET]:
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self._codes.pop(given["code"], None)
        proven = b64(hashlib.sha256(given["code_verifier"].encode()).digest())
        if asked is None or proven != asked["code_challenge"] or given["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant", "error_description": "That code is not good."}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "42", "iat": now, "exp": now + 300}
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid}
        signed = self.signed(*self.twist(header, {**claims, "nonce": asked["nonce"], **self.user}))
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": signed})

    def signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(self._signature(header, text.encode()))}"

    def _signature(self, header: dict[str, Any], text: bytes) -> bytes:
        if header["alg"] == "none":
            return b""
        if header["alg"] == "HS256":
            pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return hmac.digest(b"everybody reads this" if header["kid"] == "shared" else pem, text, "sha256")
        return (self._lent if header.get("foreign") else self.key).sign(text, padding.PKCS1v15(), SHA256())


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A provider while it lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Provider(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(made.app(), log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield made
        finally:
            server.should_exit = True
            await serving
