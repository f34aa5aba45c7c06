"""What is wrong with a manifest: every fault at once, in the API server's terms, and the typed resource if none is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from mailboat_crds import API_VERSION, GROUP
from mailboat_crds.models import KINDS, Resource, kind_of
from mailboat_crds.rules import LONGEST_NAME, NAME_TOO_LONG, RULES

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SHOWN = 60  # characters of a wrong value


class Fault(NamedTuple):
    """`field` is a path such as spec.limits.timeout; the message says what is wrong and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Invalid(ValueError):
    """A manifest that the API server would refuse."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


def resource(manifest: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Resource:
    """The resource in a manifest; `old` is the spec that it replaces. Raises Invalid with every fault."""
    kind = KINDS.get(str(manifest.get("kind")))
    if kind is None or manifest.get("apiVersion") != API_VERSION:
        raise Invalid([_unknown_kind(manifest)])
    faults = [*_metadata(manifest.get("metadata"))]
    faults += [
        Fault(str(field), "unknown field: remove it")
        for field in manifest
        if field not in ("apiVersion", "kind", "metadata", "spec", "status")
    ]
    if "spec" not in manifest:
        raise Invalid([*faults, Fault("spec", "required")])
    spec = _Walk(faults).part(_type(kind.spec), manifest["spec"], old, "spec")
    if faults:
        raise Invalid(faults)
    parts = {"metadata": manifest["metadata"], "spec": spec} | ({"status": s} if (s := manifest.get("status")) else {})
    return msgspec.convert(parts, kind.model)


def manifest(resource: Resource) -> dict[str, Any]:
    """The manifest of a resource, defaults filled in; `resource` gives the same back."""
    plain = json.loads(msgspec.json.encode(resource))
    return {"apiVersion": API_VERSION, "kind": kind_of(resource)} | _without_null(plain)


def _without_null(value: dict[str, Any]) -> dict[str, Any]:
    """Fields of a model that are not set. What authors write themselves (schema, example) keeps its nulls."""
    free = ("schema", "example")
    return {
        name: _without_null(entry) if isinstance(entry, dict) and name not in free else entry
        for name, entry in value.items()
        if entry is not None
    }


def _unknown_kind(manifest: Mapping[str, Any]) -> Fault:
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    if kind in KINDS:
        return Fault("apiVersion", f"{_shown(version)}: use {API_VERSION}")
    return Fault("kind", f"{_shown(kind)}: use {', '.join(KINDS)} of {GROUP}")


def _metadata(metadata: Any) -> Iterator[Fault]:
    if not isinstance(metadata, dict):
        yield Fault("metadata", "required: give at least metadata.name")
        return
    name, namespace = metadata.get("name"), metadata.get("namespace", "default")
    if not isinstance(name, str):
        yield Fault("metadata.name", "required")
    elif not _NAME.fullmatch(name):
        yield Fault("metadata.name", f"{_shown(name)}: use lower-case letters, digits, '-' and '.', as in storefront")
    elif len(name) > LONGEST_NAME:
        yield Fault("metadata.name", NAME_TOO_LONG)
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        yield Fault("metadata.namespace", f"{_shown(namespace)}: use lower-case letters, digits and '-'")
    for field in ("labels", "annotations"):
        found = metadata.get(field) or {}
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            yield Fault(f"metadata.{field}", "has to be an object of strings: quote the values")


class _Walk:
    """Follows a model through JSON. Gives the JSON with defaults, and adds to `faults`."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults
        self._hint = ""  # what the string at hand has to be, for people

    def part(self, kind: inspect.Type, value: Any, old: Any, path: str) -> Any:
        self._hint = ""
        while isinstance(kind, inspect.Metadata):
            extra = kind.extra or {}
            self._hint = (kind.extra_json_schema or {}).get("description", self._hint)
            if "list" in extra and isinstance(value, list):
                self._differ(value, extra.get("keys"), path)
            kind = kind.type
        if isinstance(kind, inspect.UnionType):  # T or None: the field may be left out
            kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
            return self.part(kind, value, old, path)
        if isinstance(kind, inspect.AnyType):
            return value
        check, word = _CHECKS[type(kind)]
        if not _is(kind, value):
            self._faults.append(Fault(path, f"{_shown(value)}: has to be {word}"))
            return value
        return check(self, kind, value, old, path)

    def struct(self, kind: inspect.StructType, value: dict[str, Any], old: Any, path: str) -> dict[str, Any]:
        known = {field.encode_name: field for field in kind.fields}
        for name in value:
            if name not in known:
                close = ", ".join(known) or "nothing"
                self._faults.append(Fault(f"{path}.{name}", f"unknown field: remove it, or use one of {close}"))
        before = len(self._faults)
        filled = {}
        for name, field in known.items():
            if value.get(name) is not None:
                inner = old.get(name) if isinstance(old, dict) else None
                filled[name] = self.part(field.type, value[name], inner, f"{path}.{name}")
            elif field.required:
                self._faults.append(Fault(f"{path}.{name}", "required"))
            elif (default := _default(field)) is not None:
                filled[name] = default
        if len(self._faults) == before:
            self._rules(kind.cls, filled, old, path)
        return filled

    def _rules(self, model: type, new: dict[str, Any], old: Any, path: str) -> None:
        for rule in RULES.get(model, ()):
            if rule.transition and not isinstance(old, dict):
                continue
            if not rule.holds(new, old or {}):
                self._faults.append(Fault(f"{path}.{rule.field}" if rule.field else path, rule.message))

    def mapping(self, kind: inspect.DictType, value: dict[str, Any], _: Any, path: str) -> dict[str, Any]:
        if kind.max_length is not None and len(value) > kind.max_length:
            self._faults.append(Fault(path, f"has {len(value)} entries: at most {kind.max_length} are allowed"))
        return {key: self.part(kind.value_type, entry, None, f"{path}.{key}") for key, entry in value.items()}

    def entries(self, kind: inspect.VarTupleType, value: list[Any], _: Any, path: str) -> list[Any]:
        if len(value) < (kind.min_length or 0):
            self._faults.append(Fault(path, "must not be empty"))
        if kind.max_length is not None and len(value) > kind.max_length:
            self._faults.append(Fault(path, f"has {len(value)} entries: at most {kind.max_length} are allowed"))
        return [self.part(kind.item_type, entry, None, f"{path}[{n}]") for n, entry in enumerate(value)]

    def _differ(self, value: list[Any], keys: list[str] | None, path: str) -> None:
        seen: list[Any] = []
        for number, entry in enumerate(value):
            mark = [entry.get(key) for key in keys] if keys and isinstance(entry, dict) else entry
            if mark in seen:
                self._faults.append(Fault(f"{path}[{number}]", f"{_shown(mark)}: is there already: remove one of them"))
            seen.append(mark)

    def text(self, kind: inspect.StrType, value: str, _: Any, path: str) -> str:
        if len(value) < (kind.min_length or 0):
            self._faults.append(Fault(path, f"{_shown(value)}: must not be empty"))
        elif kind.max_length is not None and len(value) > kind.max_length:
            self._faults.append(Fault(path, f"has {len(value)} characters: at most {kind.max_length} are allowed"))
        elif kind.pattern and not _pattern(kind.pattern).fullmatch(value):
            self._faults.append(Fault(path, f"{_shown(value)}: has to be {self._hint or kind.pattern}"))
        return value

    def number(self, kind: inspect.IntType, value: int, _: Any, path: str) -> int:
        if kind.ge is not None and value < kind.ge:
            self._faults.append(Fault(path, f"{value}: has to be {kind.ge} or more"))
        if kind.le is not None and value > kind.le:
            self._faults.append(Fault(path, f"{value}: has to be {kind.le} or less"))
        return value

    def word(self, kind: inspect.LiteralType, value: str, _: Any, path: str) -> str:
        if value not in kind.values:
            self._faults.append(Fault(path, f"{_shown(value)}: use {', '.join(map(str, kind.values))}"))
        return value

    def truth(self, _: inspect.BoolType, value: bool, __: Any, ___: str) -> bool:
        return value


_CHECKS: dict[type[inspect.Type], tuple[Callable[..., Any], str]] = {
    inspect.StructType: (_Walk.struct, "an object"),
    inspect.DictType: (_Walk.mapping, "an object"),
    inspect.VarTupleType: (_Walk.entries, "a list"),
    inspect.StrType: (_Walk.text, "a string: put it into quotes"),
    inspect.LiteralType: (_Walk.word, "a string: put it into quotes"),
    inspect.IntType: (_Walk.number, "a whole number"),
    inspect.BoolType: (_Walk.truth, "true or false, without quotes"),
}
_PYTHON: dict[type[inspect.Type], type] = {
    inspect.StructType: dict,
    inspect.DictType: dict,
    inspect.VarTupleType: list,
    inspect.StrType: str,
    inspect.LiteralType: str,
    inspect.IntType: int,
    inspect.BoolType: bool,
}


def _is(kind: inspect.Type, value: Any) -> bool:
    wanted = _PYTHON[type(kind)]
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


@lru_cache
def _type(model: type) -> inspect.Type:
    return inspect.type_info(model)


@lru_cache
def _pattern(text: str) -> re.Pattern[str]:
    """For fullmatch, which unlike `$` leaves no room for a line break at the end."""
    return re.compile(text.removeprefix("^").removesuffix("$"))


def _default(field: inspect.Field) -> Any:
    """A field's default as JSON; None where it has none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return _json(field.default_factory())
    return _json(field.default) if field.default is not msgspec.NODEFAULT else None


def _json(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {
            f.encode_name: _json(getattr(value, f.name))
            for f in msgspec.structs.fields(value)
            if getattr(value, f.name) is not None
        }
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
