"""Reading manifests: many files and documents, every fault named with its place."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mailboat.declare import manifests
from mailboat.declare.manifests import Faulty

CLIENT = """\
apiVersion: mailboat.dev/v1alpha1
kind: EmailClient
metadata: {name: storefront, namespace: shop}
spec: {senders: [a@example.com], credentials: {secretName: storefront-email}}
"""
TEMPLATE = """\
apiVersion: mailboat.dev/v1alpha1
kind: EmailTemplate
metadata: {name: receipt}
spec: {subject: S, source: <p/>, example: {day: 2026-12-01, 1: one}}
"""
PROVIDER = """\
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {name: relay}
spec: {inbox: {}}
"""


def understand(text: str) -> manifests.Found:
    return manifests.understand(manifests.read(["-"], text))


def test_a_folder_is_read_with_those_below_it_and_in_the_order_of_need(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.yaml").write_text(f"{CLIENT}---\n{TEMPLATE}")
    (tmp_path / "below/b.yml").write_text(PROVIDER)
    (tmp_path / "notes.txt").write_text("not a manifest")
    found = manifests.understand(manifests.read([str(tmp_path)]), "mine")
    assert [(one.metadata.namespace, one.metadata.name) for one in found.resources] == [
        ("mine", "relay"),
        ("mine", "receipt"),
        ("shop", "storefront"),
    ]


def test_dates_and_keys_are_read_as_kubernetes_reads_them() -> None:
    (template,) = understand(TEMPLATE).resources
    assert template.spec.example == {"day": "2026-12-01", "1": "one"}


def test_secrets_and_config_maps_are_read_in_both_spellings() -> None:
    encoded = base64.b64encode(b"hunter2").decode()
    found = understand(
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: shop}}\ndata: {{password: {encoded}}}\n"
        "stringData: {username: me}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {x: y}\n"
    )
    assert found.inputs["shop"].secrets == {"a": {"password": "hunter2", "username": "me"}}
    assert found.inputs["default"].config_maps == {"b": {"x": "y"}}


def test_lists_are_taken_apart_and_foreign_kinds_are_left_out() -> None:
    found = understand(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n"
        "- {apiVersion: mailboat.dev/v1alpha1, kind: EmailProvider, metadata: {name: x}, spec: {inbox: {}}}\n"
    )
    assert [one.metadata.name for one in found.resources] == ["x"]
    assert found.left_out == ["-:1: document 1: v1 Namespace is not Mailboat's and was left out"]


def test_every_fault_of_every_document_is_named_with_file_line_document_and_field(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"{PROVIDER}---\n{CLIENT.replace('senders: [a@example.com]', 'lane: fast')}---\n{PROVIDER}")
    with pytest.raises(Faulty) as faulty:
        manifests.understand(manifests.read([str(file)]))
    assert str(faulty.value).splitlines() == [
        f"{file}:6: document 2: spec.senders: required",
        f"{file}:6: document 2: spec.lane: 'fast': use bulk, high, normal",
        f"{file}:11: document 3: metadata.name: 'relay' is there already ({file}:1: document 1): remove one",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "-:2:1: document 1: this is not YAML"),
        (f"{PROVIDER}---\npassword: 'hunter2\n", "document 2: this is not YAML"),
        ("just words", "this is not a manifest: it needs apiVersion, kind, metadata and spec"),
        ("kind: EmailClient\nmetadata: {name: x}\n", "apiVersion: None: use mailboat.dev/v1alpha1"),
        (
            "apiVersion: mailboat.dev/v1alpha1\nkind: Emailclient\n",
            "kind: 'Emailclient': use EmailClient, EmailTemplate",
        ),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {p: hunter2!}\n", "data.p: is not text in base64"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {p: 4711}\n",
            "stringData.p: has to be a string",
        ),
        ("apiVersion: v1\nkind: Secret\ndata: {}\n", "metadata.name: required"),
    ],
)
def test_what_is_no_manifest_is_refused_without_showing_a_secret(text: str, said: str) -> None:
    with pytest.raises(Faulty) as faulty:
        understand(text)
    assert said in str(faulty.value)
    assert "hunter2" not in str(faulty.value)
    assert "4711" not in str(faulty.value)


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Faulty, match="there is no such file or folder"):
        manifests.read([str(tmp_path / "none")])
    with pytest.raises(Faulty, match="there is no file with"):
        manifests.read([str(tmp_path)])
