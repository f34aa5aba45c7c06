"""Options that many commands share, and how their values are read."""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from mailboat.cli import connection
from mailboat.cli.connection import Session

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"(?:(?P<namespace>[^/\s]+)/)?(?P<name>[^/\s]+)")
_SECONDS = re.compile(r"(?P<number>\d+)(?P<unit>[smhd]?)")


class Identity(NamedTuple):
    """Which client: its namespace and name."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"/admin/clients/{urllib.parse.quote(self.namespace)}/{urllib.parse.quote(self.name)}"


def identity(text: str) -> Identity:
    """NAME or NAMESPACE/NAME."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not NAME or NAMESPACE/NAME.")
    return Identity(found["namespace"] or "default", found["name"])


def seconds(text: str) -> int:
    """90s, 30m, 24h, 7d, or seconds."""
    found = _SECONDS.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a duration such as 90s, 30m, 24h or 7d.")
    return int(found["number"]) * UNITS[found["unit"]]


def overlapping(meaning: str) -> Callable[[Any], Any]:
    """The option of a rotation: for how long what it replaces stays good."""
    return click.option("--overlap", type=seconds, metavar="DURATION", default="24h", show_default=True, help=meaning)


def content(text: str) -> str:
    """Text as it is, or the contents of @FILE (@- is stdin)."""
    if not text.startswith("@"):
        return text
    try:
        return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{text[1:]} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def mapping(text: str) -> dict[str, Any]:
    """A JSON object as it is, or in @FILE (@- is stdin)."""
    try:
        found = json.loads(content(text))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"this is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise click.BadParameter("this is not a JSON object.")
    return found


def attachment(text: str) -> dict[str, str]:
    """The API's form of a file at a path, or of one at a URL."""
    if text.startswith(("https://", "http://")):
        return {"url": text}
    try:
        octets = Path(text).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{text} cannot be read: {error.strerror}.") from None
    return {"filename": Path(text).name, "content": base64.b64encode(octets).decode()}


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.")
    return name, value


_URL = click.option("--url", envvar="MAILBOAT_URL", help="Where the API is.  [default: as in client.json]")
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`; its client.json says what is not said otherwise.",
)
OUTPUT = click.option(
    "--output",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or programs.",
)
_CREDENTIALS = {
    "admin": (click.option("--token", "admin_token", envvar="MAILBOAT_ADMIN_TOKEN", help="Admin token."),),
    "sender": (
        click.option("--key", "api_key", envvar="MAILBOAT_API_KEY", help="API key."),
        click.option("--secret", "api_secret", envvar="MAILBOAT_API_SECRET", help="Its secret."),
    ),
}


def connected(credentials: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that say where the API is and who we are: `admin` or `sender`. Passes `session` and `form` on.

    The command line comes first; then, when --data-dir is given, its client.json; then the environment.
    """
    own = _CREDENTIALS[credentials]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(*args: Any, url: str | None, data_dir: Path, **kwargs: Any) -> Any:
            given = {"url": url}
            given |= {name: kwargs.pop(name) for name in ("admin_token", "api_key", "api_secret") if name in kwargs}
            return command(*args, session=_session(given, data_dir), **kwargs)

        for option in (OUTPUT, _DATA_DIR, *reversed(own), _URL):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def _session(given: dict[str, Any], data_dir: Path) -> Session:
    source = click.get_current_context().get_parameter_source
    typed: dict[str, Any] = {
        name: value for name, value in given.items() if source(name) == click.core.ParameterSource.COMMANDLINE
    }
    stored = connection.stored(data_dir)
    if source("data_dir") == click.core.ParameterSource.COMMANDLINE:
        return connection.session(typed, stored, given)
    return connection.session(given, stored)
