"""What the client raises, as one tree.

ClientError
├── Unavailable            nobody answered, or the API cannot now, however often it was tried: nothing is known
└── ApiError               the API said no; status, code, field and detail are its own
    ├── Unauthorized       401: the key or the secret
    ├── Forbidden          403: the client is suspended
    ├── NotFound           404
    ├── Conflict           409: not in a state for this, or an idempotency key used with another body
    ├── Invalid            400, 413, 422: the request; `field` names the part
    └── RateLimited        429: the bucket or the quota; `retry_after` says when
"""

from __future__ import annotations

from typing import Any

import msgspec


class ClientError(Exception):
    """The root of everything that the client raises."""


class Unavailable(ClientError):
    """No answer, or 5xx, after every retry. With the same idempotency key the call can be made again safely."""


class ApiError(ClientError):
    """A refusal. `code` is for programs and stable, `field` is the part of the body at fault, `detail` is for people;
    `errors` lists the faults of a batch; `retry_after` is in seconds where the API says so."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {field}: {detail}" if field else f"{code}: {detail}")
        self.status, self.code, self.detail, self.field = status, code, detail, field
        self.errors, self.retry_after = errors or [], retry_after


class Unauthorized(ApiError):
    """The key or its secret is wrong, expired or revoked."""


class Forbidden(ApiError):
    """The client may not do this; it is suspended, for one."""


class NotFound(ApiError):
    """There is no such thing, or it is not this client's."""


class Conflict(ApiError):
    """The thing is not in a state for this, or the idempotency key was used with another body."""


class Invalid(ApiError):
    """The request cannot be accepted as it is."""


class RateLimited(ApiError):
    """The client's bucket is empty or its monthly quota used up, for longer than the client waits by itself."""


CLASSES: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: RateLimited,
}


class _Problem(msgspec.Struct):
    """RFC 9457, as far as it is used here."""

    code: str = ""
    title: str = ""
    detail: str = ""
    field: str | None = None
    errors: list[dict[str, Any]] = []


def of(status: int, body: bytes, retry_after: float | None) -> ApiError:
    """The error that an answer means, whoever gave it."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:  # a proxy in between
        problem = _Problem()
    detail = problem.detail or problem.title or body[:200].decode("utf-8", "replace")
    kind = CLASSES.get(status, ApiError)
    code = problem.code or f"http_{status}"
    return kind(status, code, detail, field=problem.field, errors=problem.errors, retry_after=retry_after)
