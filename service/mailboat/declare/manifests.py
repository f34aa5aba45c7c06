"""Manifests as files: many documents in many files, Secrets and ConfigMaps beside Mailboat's own kinds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mailboat.declare.inputs import Inputs
from mailboat.errors import MailboatError
from mailboat_crds import GROUP, check
from mailboat_crds.check import Invalid
from mailboat_crds.models import Resource, kind_of

SUFFIXES = (".yaml", ".yml", ".json")
ORDER = ("EmailProvider", "EmailTemplate", "EmailClient")
"""What others refer to comes first."""


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: what looks like a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class Faulty(MailboatError):
    """Manifests that cannot be applied: one line for each fault, with file, document, field and remedy."""


class Document(NamedTuple):
    """One document of a file; both count from 1."""

    file: str
    number: int
    line: int
    body: Any

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}: document {self.number}"


class Found(NamedTuple):
    """What the files declare: resources in the order in which they are applied, the rest by namespace."""

    resources: list[Resource]
    inputs: dict[str, Inputs]
    left_out: list[str]


def read(paths: Iterable[str], stdin: str = "") -> list[Document]:
    """Every document in these files and folders; `-` is `stdin`. Raises Faulty."""
    found: list[Document] = []
    for path in paths:
        for name, text in [("-", stdin)] if path == "-" else _texts(Path(path)):
            found += _documents(name, text)
    return found


def understand(documents: list[Document], namespace: str = "default") -> Found:
    """The resources in the documents; `namespace` is for those that name none. Raises Faulty with every fault."""
    faults: list[str] = []
    resources: dict[tuple[str, str, str], tuple[Document, Resource]] = {}
    inputs: dict[str, Inputs] = {}
    left_out: list[str] = []
    for document in documents:
        try:
            _sort(_placed(document, namespace), document, resources, inputs, left_out)
        except Invalid as invalid:
            faults += [f"{document.place}: {fault}" for fault in invalid.faults]
    if faults:
        raise Faulty("\n".join(faults))
    ordered = sorted((resource for _, resource in resources.values()), key=lambda one: ORDER.index(kind_of(one)))
    return Found(ordered, inputs, left_out)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    if not path.exists():
        raise Faulty(f"{path}: there is no such file or folder.")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not files:
        raise Faulty(f"{path}: there is no file with {', '.join(SUFFIXES)} in this folder.")
    for file in files:
        try:
            yield str(file), file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Faulty(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _documents(name: str, text: str) -> list[Document]:
    loader = _Loader(text)
    found: list[Document] = []
    try:
        while loader.check_node():
            node: Any = loader.get_node()
            body = _json(loader.construct_document(node))
            number, line = len(found) + 1, node.start_mark.line + 1
            listed = body.get("items") if isinstance(body, dict) and body.get("kind") == "List" else [body]
            found += [Document(name, number, line, item) for item in listed or [] if item is not None]
    except yaml.MarkedYAMLError as error:
        # Not the error's own text: it would show the line, and what stands there may be a secret.
        mark = error.problem_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise Faulty(f"{name}{at}: document {len(found) + 1}: this is not YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Faulty(f"{name}: document {len(found) + 1}: this is not YAML ({type(error).__name__}).") from None
    finally:
        loader.dispose()
    return found


def _json(value: Any) -> Any:
    """YAML's keys may be anything, JSON's are strings."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _json(entry) for key, entry in value.items()}
    return [_json(entry) for entry in value] if isinstance(value, list) else value


def _placed(document: Document, namespace: str) -> dict[str, Any]:
    body = document.body
    if not isinstance(body, dict):
        raise Invalid([check.Fault("", "this is not a manifest: it needs apiVersion, kind, metadata and spec")])
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return body
    own = {name: value for name, value in metadata.items() if name != "generation"}  # a cluster's, not ours
    return body | {"metadata": own | {"namespace": metadata.get("namespace") or namespace}}


def _sort(
    body: dict[str, Any],
    document: Document,
    resources: dict[tuple[str, str, str], tuple[Document, Resource]],
    inputs: dict[str, Inputs],
    left_out: list[str],
) -> None:
    kind, version = str(body.get("kind")), str(body.get("apiVersion"))
    if version == "v1" and kind in ("Secret", "ConfigMap"):
        name, space, values = _contents(body, kind)
        known = inputs.get(space, Inputs())
        secrets, maps = dict(known.secrets), dict(known.config_maps)
        (secrets if kind == "Secret" else maps)[name] = values
        inputs[space] = Inputs(secrets, maps)
    elif version.startswith(f"{GROUP}/") or kind in ORDER or "kind" not in body:
        resource = check.resource(body)
        key = (kind, resource.metadata.namespace, resource.metadata.name)
        if key in resources:
            other = resources[key][0].place
            raise Invalid([check.Fault("metadata.name", f"{key[2]!r} is there already ({other}): remove one")])
        resources[key] = (document, resource)
    else:
        left_out.append(f"{document.place}: {version} {kind} is not Mailboat's and was left out")


def _contents(body: dict[str, Any], kind: str) -> tuple[str, str, dict[str, str]]:
    """Name, namespace and values of a Secret or ConfigMap; faults never show a value."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Invalid([check.Fault("metadata.name", "required")])
    values: dict[str, str] = {}
    for field in ("data", "stringData"):
        entries = body.get(field) or {}
        if not isinstance(entries, dict):
            raise Invalid([check.Fault(field, "has to be an object")])
        for key, value in entries.items():
            if not isinstance(value, str):
                raise Invalid([check.Fault(f"{field}.{key}", "has to be a string: put it into quotes")])
            values[key] = _decoded(value, key) if kind == "Secret" and field == "data" else value
    return metadata["name"], metadata["namespace"], values


def _decoded(value: str, key: str) -> str:
    try:
        return base64.b64decode("".join(value.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Invalid([check.Fault(f"data.{key}", "is not text in base64: encode it, or use stringData")]) from None
