"""A fault of the server is a problem too, and says nothing of its inside."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.fixture
def broken_table(query: Any) -> Any:
    """What nobody expects: a column that is not there."""
    query("alter table clients rename column route to lost")
    yield
    query("alter table clients rename column lost to route")


def test_a_fault_is_a_problem_that_is_in_the_log(broken_table, api: Any, admin: httpx.Client, problem: Any, until: Any):
    answer = admin.get("/admin/clients")
    members = problem(answer, 500, "internal_error")
    assert "route" not in members["detail"]
    (line,) = until(lambda: api.lines("request failed"))
    assert line["path"] == "/admin/clients"
    assert "UndefinedColumn" in line["exception"]
    assert line["role"] == "api"
