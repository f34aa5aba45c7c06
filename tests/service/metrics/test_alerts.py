"""The alerts that the chart ships ask for metrics and label values that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailboat import metrics

FILE = Path(__file__).parents[3] / "charts/mailboat/files/alerts.yaml"
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
OPERATOR = {"mailboat_operator_leader": set[str]()}  # counted by `mailboat_operator.health`
LABELS = {family.name: set(family.labels) for family in metrics.FAMILIES} | OPERATOR


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_counted_and_says_what_to_do(rule: dict[str, Any]) -> None:
    asked = re.findall(r"(mailboat_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert asked
    for name, matchers in asked:
        assert name in LABELS
        assert set(re.findall(r"(\w+)(?:=|!=|=~)\"", matchers)) <= LABELS[name]
    grouped = re.search(r"by \((\w+)\)", rule["expr"])
    assert not grouped or grouped[1] in LABELS[asked[0][0]]
    assert rule["annotations"]["summary"].endswith(".")
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= ({grouped[1]} if grouped else set())
