"""With FUZZ_MINUTES each test here goes on for its share of them, with other examples in each round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator

import pytest
from tests.fuzz.budget import MINUTES


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    begun, rounds = time.monotonic(), 1
    result = yield
    if MINUTES and hasattr(pyfuncitem.obj, "hypothesis"):
        share = MINUTES * 60 / sum(hasattr(item.obj, "hypothesis") for item in pyfuncitem.session.items)
        given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        while time.monotonic() < begun + share:
            pyfuncitem.obj(**given)
            rounds += 1
        print(f"{pyfuncitem.name}: {rounds} rounds")
    return result


@pytest.fixture(scope="session")
def run() -> Generator[object, None, None]:
    """run(coroutine): what it gives. For tests of which each example awaits something."""
    with asyncio.Runner() as runner:
        yield runner.run
