"""The first client of a new installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mailboat.cli import connection, folder
from mailboat.cli.connection import Api, Refused

NAMESPACE, NAME = "default", "first"
PATH = f"/admin/clients/{NAMESPACE}/{NAME}"
CLIENT = {
    "namespace": NAMESPACE,
    "name": NAME,
    "senders": ["Mailboat <mailboat@example.com>", "*"],
    "templates": [],
    "rate_per_minute": 6000,
    "rate_burst": 1000,
    "quota_monthly": None,
}


def ensure(data: Path, url: str, admin_token: str) -> dict[str, Any]:
    """Credentials that work, as they stand in client.json: those kept there, else new ones. Raises MailboatError."""
    known = folder.credentials(data)
    key, secret = str(known.get("api_key", "")), str(known.get("api_secret", ""))
    if not works(connection.sender(url, key, secret)):
        made = _new_key(connection.admin(url, admin_token))
        key, secret = made["key"], made["secret"]
    credentials = {"url": url, "api_key": key, "api_secret": secret, "admin_token": admin_token}
    if credentials != known:
        folder.write_credentials(data, credentials)
    return credentials


def works(api: Api) -> bool:
    """Is this pair known? A suspended client's pair is: suspension is somebody's decision, a new key is no way out."""
    try:
        api.get("/v1/messages", limit=1)
    except Refused as refusal:
        if refusal.status not in (401, 403):
            raise
        return refusal.status == 403
    return True


def _new_key(api: Api) -> dict[str, Any]:
    try:
        api.get(PATH)
    except Refused as refusal:
        if refusal.status != 404:
            raise
        api.post("/admin/clients", CLIENT)
    made: dict[str, Any] = api.post(f"{PATH}/keys")
    return made
