"""The client against a real API, and against the double that ships with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailboat.client import Mailboat
from mailboat.client.retry import Policy
from mailboat.client.testing import Recorder


@pytest.fixture
def api(settings_of: Any, start_role: Any, free_port: Any) -> str:
    """Where a real API is."""
    return str(start_role("api", settings_of(port=free_port())).url)


@pytest.fixture
def connect(api: str, client: Any) -> Iterator[Callable[..., Mailboat]]:
    """connect(**options): a client of the real API."""
    made: list[Mailboat] = []

    def connect(**options: Any) -> Mailboat:
        options = {"key": client.key, "secret": client.secret, "retry": Policy(base=0.01, patience=0.0)} | options
        made.append(Mailboat(api, options.pop("key"), options.pop("secret"), **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture(params=["real", "recorder"])
def mail(request: pytest.FixtureRequest) -> Mailboat:
    """A client of the real API, and of the double: both have to behave alike."""
    if request.param == "real":
        return request.getfixturevalue("connect")()
    return Recorder({"receipt": "<p>Order</p>"}).client
