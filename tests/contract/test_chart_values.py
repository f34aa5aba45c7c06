"""The chart's values, dashboard and alerts, and skaffold's file: what can be known of them without Helm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import promql_parser
import pytest
import yaml

from mailboat import metrics

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/mailboat"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
DASHBOARD = json.loads((CHART / "files/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [
    rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
OPERATOR = {
    name
    for module in (ROOT / "operator/mailboat_operator").rglob("*.py")
    for name in re.findall(r"\bmailboat_operator_\w+", module.read_text())
}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """With what it refers to."""
    for reference in [*node.get("allOf", ()), node]:
        if "$ref" in reference:
            shared: dict[str, Any] = SCHEMA["definitions"][reference["$ref"].rpartition("/")[2]]
            return shared | node
    return node


def described(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every value that the schema knows, by path."""
    for name, child in node.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        yield inner, resolved(child)
        yield from described(resolved(child), inner)


def given(values: dict[str, Any], node: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every value of values.yaml, by path; of what is free in form, as a whole."""
    for name, value in values.items():
        inner = f"{path}.{name}".lstrip(".")
        yield inner
        if isinstance(value, dict):
            child = resolved(node["properties"][name])
            yield from given(value, child, inner) if "properties" in child else ()


KNOWN = dict(described(SCHEMA))


# --- values


def test_every_value_has_a_default_and_a_description() -> None:
    without_default = {"global"} | {path for path in KNOWN if ".resources." in path}
    assert KNOWN.keys() - without_default == set(given(VALUES, SCHEMA)) - without_default
    assert [path for path, node in KNOWN.items() if not node.get("description")] == []


def test_what_is_not_known_is_refused_on_every_level() -> None:
    groups = {path: node for path, node in KNOWN.items() if "properties" in node} | {"": SCHEMA}
    assert [path for path, node in groups.items() if node.get("additionalProperties") is not False] == []


def test_every_line_of_the_values_is_explained_where_it_stands() -> None:
    """By a comment above or behind; below a comment, a value of free form needs no further ones."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        above = next(
            (lines[at] for at in range(number - 1, -1, -1) if indent > len(lines[at]) - len(lines[at].lstrip())), ""
        )
        explained = "#" in line or lines[number - 1].lstrip().startswith("#") or not line
        free = above.strip().rstrip(":") in ("resources", "podSecurityContext", "containerSecurityContext", "requests")
        assert explained or free, line


@pytest.mark.parametrize("values", [VALUES, *(yaml.safe_load(path.read_text()) for path in EXAMPLES)])
def test_defaults_and_examples_are_of_the_kind_that_the_schema_wants(values: dict[str, Any]) -> None:
    schema = SCHEMA if values is VALUES else {key: value for key, value in SCHEMA.items() if key != "required"}
    closed = json.loads(json.dumps(schema))
    if values is not VALUES:  # what an example leaves out comes from the defaults
        drop_required(closed)
    assert [
        f"{error.instance_path}: {error.message}" for error in jsonschema_rs.validator_for(closed).iter_errors(values)
    ] == []


def drop_required(node: Any) -> None:
    if isinstance(node, dict):
        node.pop("required", None)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        drop_required(child)


# --- dashboard and alerts


def expression(text: str) -> str:
    """With a range in place of Grafana's, and a namespace."""
    return text.replace("$__rate_interval", "5m").replace("$namespace", "mail")


def asked(text: str) -> set[str]:
    """The metrics that an expression names, without the suffixes of histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bmailboat_\w+", text)}


QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
FAMILIES = {family.name: family for family in metrics.FAMILIES}


SHOWN = set().union(*(asked(query) for query in QUERIES))
SUBJECTS = {  # what an operator of the service wants to see: DESIGN.md, "Seeing"
    "accept rate": "mailboat_accepted_total",
    "accept time": "mailboat_accept_seconds",
    "refusals": "mailboat_refused_total",
    "queue age per lane": "mailboat_queue_age_seconds",
    "queue depth per lane": "mailboat_queue_messages",
    "attempts by provider and outcome": "mailboat_attempts_total",
    "breaker state": "mailboat_circuit_open",
    "render time": "mailboat_render_seconds",
    "pool kills": "mailboat_render_kills_total",
    "webhook verdicts": "mailboat_webhooks_total",
    "template revision": "mailboat_template_info",
    "dead letters": "mailboat_stopped_messages",
    "workers": "mailboat_workers",
    "leader": "mailboat_operator_leader",
}


def test_every_panel_asks_for_metrics_that_there_are() -> None:
    assert SHOWN - FAMILIES.keys() - OPERATOR == set()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_dashboard_shows(subject: str) -> None:
    assert SUBJECTS[subject] in SHOWN


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in ALERTS)])
def test_an_expression_is_promql(query: str) -> None:
    promql_parser.parse(expression(query))


@pytest.mark.parametrize("query", [query for query in QUERIES if asked(query) <= FAMILIES.keys()])
def test_a_panel_groups_and_filters_by_labels_that_the_metric_has(query: str) -> None:
    known = {"namespace", "exported_namespace", "le"}.union(*(FAMILIES[name].labels for name in asked(query)))
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    assert grouped | set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", query)) <= known


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_the_query_leaves(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        grouped = {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")
        }
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped


def test_the_dashboard_can_be_imported() -> None:
    assert {"title", "uid", "schemaVersion", "time", "templating", "panels"} <= DASHBOARD.keys()
    assert "id" not in DASHBOARD, "Grafana gives it its own"
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "namespace"]
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all([panel["title"], panel["description"].endswith("."), panel["fieldConfig"]["defaults"]["unit"]])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert (cells & taken, max(x for x, _ in cells) < 24) == (set(), True), panel["title"]
        taken |= cells


# --- skaffold


def test_skaffold_reads_its_file() -> None:
    schema = json.loads((Path(__file__).parent / "schemas/skaffold.json").read_text())
    found = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    assert found["apiVersion"] == "skaffold/v4beta11"
    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(found)] == []


def test_skaffold_sets_values_that_there_are() -> None:
    (release,) = yaml.safe_load((ROOT / "skaffold.yaml").read_text())["deploy"]["helm"]["releases"]
    assert {*release["setValues"], *release["setValueTemplates"]} <= KNOWN.keys()
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
