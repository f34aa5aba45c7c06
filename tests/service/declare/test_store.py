"""The table of what was declared."""

from __future__ import annotations

from typing import Any

import pytest

from mailboat.declare.inputs import Inputs


@pytest.mark.parametrize("kind", ["client", "template", "provider"])
async def test_what_has_not_changed_is_not_written(
    declarer: Any, request: pytest.FixtureRequest, query: Any, kind: str
) -> None:
    """A sweep looks at thousands."""
    resource = request.getfixturevalue(kind)()
    first = await declarer.apply(resource, Inputs(), None)
    written = query("select xmin::text, * from declared")
    again = await declarer.apply(resource, Inputs(), first.secret)
    assert again.change == "unchanged"
    assert query("select xmin::text, * from declared") == written
    changed = request.getfixturevalue(kind)()
    changed.metadata.annotations["mailboat.dev/reconcile-requested-at"] = "now"
    await declarer.apply(changed, Inputs(), first.secret)
    assert query("select xmin::text, * from declared") != written
