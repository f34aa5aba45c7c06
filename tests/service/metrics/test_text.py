"""The text that families are read as, against prometheus_client's own parser; and that nothing makes them grow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from mailboat import metrics
from mailboat.metrics import Counter, Family, Gauge, Histogram

PAGE = Path(__file__).parents[3] / "docs/metrics.md"
UNITS = ("_total", "_bytes", "_seconds", "_messages", "_info", "_up")
COUNTS = {"mailboat_templates", "mailboat_templates_broken", "mailboat_workers", "mailboat_accept_waiting"}
BARE = COUNTS | {"mailboat_circuit_open"}  # yes or no


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[Family]:
    """The families that this test makes, and no others."""
    families: list[Family] = []
    monkeypatch.setattr(metrics, "FAMILIES", families)
    return families


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition("test").decode()
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in parsed(text) for s in family.samples}


def test_each_kind_is_read_back_as_it_was_counted(own: list[Family]) -> None:
    sent = Counter("sent_total", "Sent.", ("lane",), roles=["test"])
    depth = Gauge("depth", "Depth.", roles=["test"])
    seconds = Histogram("send_seconds", "Seconds.", ("provider",), roles=["test"], bounds=(0.1, 1.0))
    sent.inc("high")
    sent.inc("high", by=2)
    depth.set(7)
    for value in (0.1, 0.5, 30.0):
        seconds.observe(value, "smtp")
    provider = ("provider", "smtp")
    assert samples() == {
        ("sent_total", (("lane", "high"),)): 3,
        ("depth", ()): 7,
        ("send_seconds_bucket", (("le", "0.1"), provider)): 1,
        ("send_seconds_bucket", (("le", "1"), provider)): 2,
        ("send_seconds_bucket", (("le", "+Inf"), provider)): 3,
        ("send_seconds_sum", (provider,)): pytest.approx(30.6),
        ("send_seconds_count", (provider,)): 3,
    }


def test_what_has_no_labels_is_there_from_the_start(own: list[Family]) -> None:
    Counter("sent_total", "Sent.", roles=["test"])
    Histogram("send_seconds", "Seconds.", roles=["test"], bounds=(1.0,))
    assert samples()["sent_total", ()] == 0
    assert samples()["send_seconds_count", ()] == 0


def test_a_label_may_hold_anything(own: list[Family]) -> None:
    strange = 'a "quoted"\nname\\'
    Counter("sent_total", "Sent.", ("provider",), roles=["test"]).inc(strange)
    assert samples() == {("sent_total", (("provider", strange),)): 1}


def test_a_role_shows_its_own_families_only(own: list[Family]) -> None:
    Counter("sent_total", "Sent.", roles=["another"])
    assert samples() == {}


def test_a_thousand_names_are_kept_within_bounds_and_none_is_lost(own: list[Family]) -> None:
    sent = Counter("sent_total", "Sent.", ("provider",), roles=["test"])
    seconds = Histogram("send_seconds", "Seconds.", ("provider",), roles=["test"], bounds=(1.0,))
    live = Gauge("live", "Live.", ("template",), roles=["test"])
    live.replace({(f"template-{n}",): 1 for n in range(1000)})
    for n in range(1000):
        sent.inc(f"provider-{n}")
        seconds.observe(0.5, f"provider-{n}")
    assert sum(value for (name, _), value in samples().items() if name == "sent_total") == 1000
    assert sum(value for (name, _), value in samples().items() if name == "send_seconds_count") == 1000
    assert sent.value("other") == 800
    assert len(samples()) <= metrics.MOST_SERIES * (1 + 4 + 1) + 5


EVERY = list(metrics.FAMILIES)


@pytest.mark.parametrize("family", EVERY, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Family) -> None:
    assert re.fullmatch(r"mailboat_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert family.name.endswith(UNITS) or family.name in BARE
    assert family.description.endswith(".")
    assert not {"client", "message_id", "recipient", "le"} & set(family.labels)
    assert family.roles <= set(metrics.ROLES)


def test_the_page_tells_of_every_family_and_of_no_other() -> None:
    assert set(re.findall(r"^\| `(mailboat_\w+)`", PAGE.read_text(), re.MULTILINE)) == {f.name for f in EVERY}
