"""The contract holds: YAML, models, rules, chart and what is refused are one and the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import inspect

from mailboat_crds import GROUP, VERSION, check, conditions, models, rules

ROOT = Path(__file__).parents[2]
INVALID = sorted((ROOT / "tests/contract/manifests/invalid").glob("*.yaml"))
VALID = sorted((ROOT / "tests/contract/manifests/valid").glob("*.yaml"))


def crd(kind: models.Kind) -> dict[str, Any]:
    return yaml.safe_load((ROOT / f"crds/{kind.plural}.yaml").read_text())


def schema(kind: models.Kind) -> dict[str, Any]:
    return crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


kinds = pytest.mark.parametrize("kind", models.KINDS.values(), ids=lambda kind: kind.name)
manifests = pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)


# --- the same tree from both sides: paths to (type, enum, bounds, default, …)

WORDS = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minimum": "ge",
    "maximum": "le",
}


def from_yaml(node: dict[str, Any], path: str, found: dict[str, dict[str, Any]], required: bool = True) -> None:
    facts = {"type": node["type"], "required": required}
    facts |= {word: node[word] for word in WORDS if word in node}
    facts |= {word: node[word] for word in ("default", "minItems", "maxItems", "maxProperties") if word in node}
    if "enum" in node:
        facts["enum"] = sorted(node["enum"])
    if node.get("format") == "date-time":
        facts["format"] = "date-time"
    listed = node.get("x-kubernetes-list-type")
    if listed not in (None, "atomic"):
        facts["list"] = (listed, node.get("x-kubernetes-list-map-keys"))
    found[path] = facts
    for name, child in node.get("properties", {}).items():
        from_yaml(child, f"{path}.{name}", found, name in node.get("required", ()))
    for mark, word in (("[]", "items"), (".*", "additionalProperties")):
        if word in node:
            from_yaml(node[word], path + mark, found)


def from_model(kind: inspect.Type, path: str, found: dict[str, dict[str, Any]], **facts: Any) -> None:
    while isinstance(kind, inspect.Metadata):
        if kind.extra and "list" in kind.extra:
            facts["list"] = (kind.extra["list"], kind.extra.get("keys"))
        if kind.extra_json_schema:
            facts |= {name: fact for name, fact in kind.extra_json_schema.items() if name == "format"}
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
        from_model(kind, path, found, **facts)
        return
    facts.setdefault("required", True)
    match kind:
        case inspect.StructType():
            found[path] = {"type": "object"} | facts
            for field in kind.fields:
                default = check._default(field)
                inner = {"required": field.required}
                if default is not None and "status" not in path:
                    inner["default"] = default
                from_model(field.type, f"{path}.{field.encode_name}", found, **inner)
        case inspect.DictType():
            found[path] = {"type": "object"} | facts | known(maxProperties=kind.max_length)
            if not isinstance(kind.value_type, inspect.AnyType):
                from_model(kind.value_type, f"{path}.*", found)
        case inspect.VarTupleType():
            found[path] = {"type": "array"} | facts | known(minItems=kind.min_length, maxItems=kind.max_length)
            from_model(kind.item_type, f"{path}[]", found)
        case inspect.LiteralType():
            found[path] = {"type": "string", "enum": sorted(kind.values)} | facts
        case inspect.StrType() | inspect.IntType():
            bounds = {word: getattr(kind, name, None) for word, name in WORDS.items()}
            found[path] = (
                {"type": "string" if isinstance(kind, inspect.StrType) else "integer"} | facts | known(**bounds)
            )
        case inspect.BoolType():
            found[path] = {"type": "boolean"} | facts
        case _:
            raise AssertionError(f"{path}: {kind}")


def known(**facts: Any) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def plain(tree: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A default of {} and its fields' own defaults say the same: the server fills them in."""
    for facts in tree.values():
        if facts["type"] == "object" and isinstance(facts.get("default"), dict):
            facts["default"] = "filled"
    return tree


@kinds
@pytest.mark.parametrize("part", ["spec", "status"])
def test_the_models_say_what_the_yaml_says(kind: models.Kind, part: str) -> None:
    written: dict[str, dict[str, Any]] = {}
    modelled: dict[str, dict[str, Any]] = {}
    from_yaml(schema(kind)[part], part, written)
    from_model(inspect.type_info(getattr(kind, part)), part, modelled)
    assert plain(written) == plain(modelled)


def cel(node: dict[str, Any], path: str) -> dict[str, set[str]]:
    """Messages of the rules by the path of the part that they are about."""
    found: dict[str, set[str]] = {}
    for name, child in node.get("properties", {}).items():
        for place, messages in cel(child, f"{path}.{name}").items():
            found.setdefault(place, set()).update(messages)
        found.setdefault(path, set()).update(
            rule["message"] for rule in child.get("x-kubernetes-validations", ()) if child["type"] != "object"
        )
    if node["type"] == "object":
        found.setdefault(path, set()).update(rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    return {place: messages for place, messages in found.items() if messages}


def modelled_rules(kind: inspect.Type, path: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            found |= modelled_rules(each, path)
    if isinstance(kind, inspect.StructType):
        if kind.cls in rules.RULES:
            found[path] = {rule.message for rule in rules.RULES[kind.cls]}
        for field in kind.fields:
            found |= modelled_rules(field.type, f"{path}.{field.encode_name}")
    return found


@kinds
def test_every_rule_in_cel_has_its_equal_in_python(kind: models.Kind) -> None:
    assert cel(schema(kind)["spec"], "spec") == modelled_rules(inspect.type_info(kind.spec), "spec")
    root = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [rule["message"] for rule in root["x-kubernetes-validations"]] == [rules.NAME_TOO_LONG]


# --- conventions


@kinds
def test_a_kind_is_named_as_the_conventions_want(kind: models.Kind) -> None:
    names = crd(kind)["spec"]["names"]
    assert crd(kind)["metadata"]["name"] == f"{kind.plural}.{GROUP}"
    assert names["kind"] == kind.name
    assert names["shortNames"] == [kind.short]
    assert names["categories"] == ["mailboat"]
    (version,) = crd(kind)["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == (VERSION, True, True)
    assert version["subresources"] == {"status": {}}
    columns = [(c["name"], c["jsonPath"], c["type"], c.get("priority", 0)) for c in version["additionalPrinterColumns"]]
    assert columns == [(c.name, c.path, c.type, c.priority) for c in kind.columns]


def nodes(node: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    found = [(path, node)]
    for name, child in node.get("properties", {}).items():
        found += nodes(child, f"{path}.{name}")
    for mark, word in (("[]", "items"), (".*", "additionalProperties")):
        if word in node:
            found += nodes(node[word], path + mark)
    return found


@kinds
def test_every_field_is_described_and_bounded(kind: models.Kind) -> None:
    for part in ("spec", "status"):
        for path, node in nodes(schema(kind)[part], part):
            described = path.endswith(("[]", ".*")) and node["type"] != "object"
            assert described or node.get("description"), path
            if node["type"] == "string" and "enum" not in node and node.get("format") != "date-time":
                assert "maxLength" in node, path
            if node["type"] == "array":
                assert "maxItems" in node, path
            if "additionalProperties" in node:
                assert "maxProperties" in node, path


@kinds
def test_conditions_are_those_of_kubernetes_and_all_described(kind: models.Kind) -> None:
    listed = schema(kind)["status"]["properties"]["conditions"]
    assert listed["items"]["required"] == ["type", "status", "reason", "message", "lastTransitionTime"]
    assert listed["x-kubernetes-list-map-keys"] == ["type"]
    for name in conditions.OF_KIND[kind.name]:
        assert name in listed["description"]


def test_the_reasons_are_words_that_a_condition_may_have() -> None:
    pattern = schema(models.KINDS["EmailClient"])["status"]["properties"]["conditions"]["items"]["properties"]["reason"]
    assert [reason for reason in conditions.REASONS if not re.fullmatch(pattern["pattern"], reason)] == []


def test_every_reason_is_explained_and_belongs_to_a_kind() -> None:
    assert {reason for found in conditions.REASONS_OF.values() for reason in found} == set(conditions.REASONS)
    code = "".join(path.read_text() for path in (ROOT / "service/mailboat/declare").glob("*.py"))
    said = set(re.findall(r'(?:True|False|None|holds), "([A-Z][A-Za-z]+)"', code))
    assert said
    assert said <= set(conditions.REASONS)


def test_the_charts_copy_is_the_same() -> None:
    done = subprocess.run([sys.executable, ROOT / ".ci/crds", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- what is refused


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def expected(path: Path) -> list[str]:
    return [
        line.removeprefix("# refused: ") for line in path.read_text().splitlines() if line.startswith("# refused: ")
    ]


@manifests
def test_an_invalid_manifest_is_refused_with_field_and_remedy(path: Path) -> None:
    """The last document is refused; the one before it, if any, is what it would replace."""
    *before, manifest = documents(path)
    old = before[0]["spec"] if before else None
    with pytest.raises(check.Invalid) as refused:
        check.resource(manifest, old)
    assert [str(fault) for fault in refused.value.faults] == expected(path)


def test_a_source_that_is_too_long_is_refused() -> None:
    (manifest,) = documents(next(path for path in VALID if path.stem == "template"))
    with pytest.raises(check.Invalid, match=r"spec\.source: has 200001 characters: at most 200000 are allowed"):
        check.resource(manifest | {"spec": manifest["spec"] | {"source": "x" * 200_001}})


def test_every_rule_has_a_manifest_that_it_refuses() -> None:
    told = "\n".join(line for path in INVALID for line in expected(path))
    messages = {rule.message for found in rules.RULES.values() for rule in found} | {rules.NAME_TOO_LONG}
    assert {message for message in messages if message not in told} == set()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_manifest_is_taken_and_comes_back_as_it_is(path: Path) -> None:
    for manifest in documents(path):
        found = check.resource(manifest)
        assert check.resource(check.manifest(found)) == found


def test_the_leaf_imports_neither_side() -> None:
    for module in (ROOT / "crds/mailboat_crds").glob("*.py"):
        assert not re.search(r"^\s*(?:from|import) mailboat(?:\.|_operator|\s)", module.read_text(), re.MULTILINE)
