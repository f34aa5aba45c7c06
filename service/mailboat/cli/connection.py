"""How the commands reach the API: where it is, who we are, and what its refusals mean to a person."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailboat.cli import folder
from mailboat.errors import ConfigurationError, MailboatError

if TYPE_CHECKING:
    import httpx

SECONDS = 30.0
PAGE = 100
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
REMEDIES = {  # what to do about a code, where the detail does not say it
    "already_exists": "Change it with `mailboat client update`.",
    "client_suspended": "`mailboat client resume NAME` lets it send again.",
    "not_found": "`mailboat client list` and `mailboat message list` show what there is.",
    "quota_exceeded": "`mailboat client update NAME --quota N` raises it.",
    "rate_limited": "`mailboat client update NAME --per-minute N --burst N` raises it.",
    "sender_not_allowed": "`mailboat client update NAME --sender ADDRESS …` sets who it may send as.",
    "template_not_allowed": "`mailboat client update NAME --template PATTERN …` sets what it may use.",
}


class Refused(MailboatError):
    """The API said no: status and code are the answer's, the text is for people."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status, self.code = status, str(problem.get("code", ""))
        reason = str(problem.get("detail") or problem.get("title") or f"the API answered {status}")
        field = problem.get("field")
        parts = (f"{field}: {reason}" if field and str(field) not in reason else reason, REMEDIES.get(self.code, ""))
        super().__init__(" ".join(filter(None, parts)))


class Api:
    """The REST API as one caller sees it. `seconds`: how long an answer may take."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = url.rstrip("/"), dict(headers)
        self.seconds = SECONDS
        self._here = urllib.parse.urlsplit(url).hostname in LOOPBACK  # no proxy leads to this machine

    def get(self, path: str, **filters: Any) -> Any:
        return self._call("GET", path, params={name: value for name, value in filters.items() if value is not None})

    def pages(self, path: str, cursor: str, most: int | None = None, **filters: Any) -> list[Any]:
        """The entries of all pages, up to `most`. `cursor` is the parameter that asks for the following page."""
        found: list[Any] = []
        following = None
        while most is None or len(found) < most:
            limit = PAGE if most is None else min(PAGE, most - len(found))
            answer = self.get(path, limit=limit, **{cursor: following}, **filters)
            found += answer["items"]
            following = answer["next"]
            if following is None:
                break
        return found

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, json={} if body is None else body, headers=dict(headers or {}))

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def upload(self, path: str, content: bytes, kind: str) -> Any:
        """Post what is no JSON."""
        return self._call("POST", path, content=content, headers={"Content-Type": kind})

    def stream(self, path: str, **filters: Any) -> Iterator[bytes]:
        """The answer as it comes, whatever it is. Raises as the others do."""
        with self._client() as client, client.stream("GET", path, params=filters, headers=self._headers) as answer:
            if not answer.is_success:
                raise Refused(answer.status_code, _problem(answer.read().decode("utf-8", "replace")))
            yield from answer.iter_bytes()

    def _call(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **arguments: Any) -> Any:
        """The answer's JSON, None when it has none. Raises Refused, or MailboatError when nobody answers."""
        with self._client() as client:
            answer = client.request(method, path, headers={**self._headers, **(headers or {})}, **arguments)
        if answer.is_success:
            return answer.json() if answer.content else None
        raise Refused(answer.status_code, _problem(answer.text))

    @contextlib.contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        """A client whose failures are told to people."""
        import httpx

        try:
            with httpx.Client(base_url=self._url, timeout=self.seconds, trust_env=not self._here) as client:
                yield client
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"--url {self._url!r}: {error}") from None
        except httpx.TransportError as error:
            raise MailboatError(
                f"No answer from {self._url} ({error}). Start it with `mailboat up`, or say where it is with --url."
            ) from None


def _problem(text: str) -> dict[str, Any]:
    try:
        problem = json.loads(text)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def admin(url: str, token: str) -> Api:
    return Api(url, {"Authorization": f"Bearer {token}"})


def sender(url: str, key: str, secret: str) -> Api:
    return Api(url, {"X-Api-Key": key, "X-Api-Secret": secret})


@dataclasses.dataclass(frozen=True)
class Session:
    """Where the API is and the credentials at hand; an empty one is unknown."""

    url: str = "http://127.0.0.1:8080"
    admin_token: str = ""
    api_key: str = ""
    api_secret: str = ""

    def admin(self) -> Api:
        """Raises ConfigurationError without a token."""
        if not self.admin_token:
            raise ConfigurationError(
                "No admin token: give --token or set MAILBOAT_ADMIN_TOKEN, or name the data folder of "
                "`mailboat up` with --data-dir."
            )
        return admin(self.url, self.admin_token)

    def sender(self) -> Api:
        """Raises ConfigurationError without a key and its secret."""
        if not (self.api_key and self.api_secret):
            raise ConfigurationError(
                "No API key: give --key and --secret or set MAILBOAT_API_KEY and MAILBOAT_API_SECRET, or name the "
                "data folder of `mailboat up` with --data-dir."
            )
        return sender(self.url, self.api_key, self.api_secret)


def session(*sources: Mapping[str, Any]) -> Session:
    """The first source that knows a thing decides it."""
    names = [field.name for field in dataclasses.fields(Session)]
    known = {name: next((str(s[name]) for s in sources if s.get(name)), "") for name in names}
    return Session(**{name: value for name, value in known.items() if value})


def stored(data: Path) -> dict[str, Any]:
    """The credentials that `mailboat up` keeps in its data folder."""
    return folder.credentials(data)
