"""apply, get, describe, delete, diff and export as their user meets them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailboat import cli

MANIFESTS = """\
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData: {username: mailboat, password: hunter2-and-more}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailClient
metadata: {name: storefront, namespace: shop}
spec:
  senders: ["Northwind <orders@shop.example.com>"]
  route: [kept]
  quota: {monthly: 50000}
  credentials: {secretName: storefront-email}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailTemplate
metadata: {name: receipt, namespace: shop}
spec:
  subject: "Receipt {{ order }}"
  sourceRef: {name: sources, key: receipt}
  example: {order: A-1042}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sources, namespace: shop}
data: {receipt: "<p>{{ order }}</p>"}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {name: kept, namespace: shop}
spec: {inbox: {}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {name: relay, namespace: shop}
spec:
  smtp: {host: 127.0.0.1, port: 1, tls: none}
  credentials: {secretRef: {name: login}}
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def mailboat(
    dsn: str, data: Path, sealing_key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Run `mailboat` with these arguments on this test's database: exit code, stdout, stderr."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("MAILBOAT_SEALING_KEY", sealing_key)
    monkeypatch.delenv("SERVICE_ROLE", raising=False)

    def run(command: str, *arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--data", str(data), *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "manifests.yaml"
    path.write_text(MANIFESTS)
    return path


def test_the_same_manifests_twice(mailboat: Command, file: Path, data: Path) -> None:
    code, out, err = mailboat("apply", "-f", file)
    assert out.splitlines() == [
        "emailprovider.mailboat.dev/kept created",
        "emailprovider.mailboat.dev/relay created",
        "emailtemplate.mailboat.dev/receipt created",
        "emailclient.mailboat.dev/storefront created",
    ]
    assert code == 0
    assert err.startswith("emailprovider.mailboat.dev/relay: Unreachable: ")
    credentials = data / "secrets/shop/storefront-email.json"
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    assert set(json.loads(credentials.read_text())) == {"api-key", "api-secret", "url"}
    before = credentials.read_text()
    code, out, _ = mailboat("apply", "-f", file)
    assert {line.split()[-1] for line in out.splitlines()} == {"unchanged"}
    assert credentials.read_text() == before


def test_a_fault_anywhere_leaves_everything_as_it_was(mailboat: Command, file: Path, query: Any) -> None:
    file.write_text(MANIFESTS.replace("quota: {monthly: 50000}", "quota: {monthly: 0}"))
    code, out, err = mailboat("apply", "-f", file)
    assert (code, out) == (1, "")
    assert err == f"mailboat: {file}:6: document 2: spec.quota.monthly: 0: has to be 1 or more\n"
    assert query("select * from declared") == []


def test_a_change_that_is_not_allowed_is_refused_before_anything_changes(
    mailboat: Command, file: Path, query: Any
) -> None:
    mailboat("apply", "-f", file)
    file.write_text(MANIFESTS.replace("spec: {inbox: {}}", "spec: {smtp: {host: x}}").replace("50000", "60000"))
    code, _, err = mailboat("apply", "-f", file)
    assert code == 1
    assert err.startswith(
        "mailboat: emailprovider.mailboat.dev/kept in shop: spec: the kind of a provider cannot be changed"
    )
    assert query("select quota_monthly from clients")[0]["quota_monthly"] == 50000


def test_a_broken_template_is_said_with_line_and_column_and_ends_in_1(mailboat: Command, file: Path) -> None:
    file.write_text(MANIFESTS.replace("<p>{{ order }}</p>", "<p>{{ order</p>"))
    code, out, err = mailboat("apply", "-f", file)
    assert code == 1
    assert "emailtemplate.mailboat.dev/receipt: SourceBroken: index.html.j2:1:" in err
    assert "emailclient.mailboat.dev/storefront created" in out


def test_a_secret_alone_reaches_what_refers_to_it_and_is_remembered(mailboat: Command, file: Path) -> None:
    mailboat("apply", "-f", file)
    documents = MANIFESTS.split("---\n")
    file.write_text(documents[-1])
    _, out, err = mailboat("apply", "-f", file)
    assert out == "emailprovider.mailboat.dev/relay unchanged\n"
    assert "SecretNotFound" not in err
    file.write_text(documents[0].replace("hunter2-and-more", "another"))
    _, out, _ = mailboat("apply", "-f", file)
    assert out == "emailprovider.mailboat.dev/relay configured\n"


def test_a_route_to_nowhere_is_warned_of_until_its_provider_is_applied(
    mailboat: Command, file: Path, tmp_path: Path, query: Any
) -> None:
    parts = MANIFESTS.split("---\n")
    file.write_text("---\n".join(part for part in parts if "name: kept" not in part))
    code, out, err = mailboat("apply", "-f", str(file))
    assert code == 0
    assert "emailclient.mailboat.dev/storefront: warning: The route names 'kept'" in err
    assert "RouteIncomplete" in mailboat("describe", "emc", "storefront")[1]
    later = tmp_path / "later.yaml"
    later.write_text(next(part for part in parts if "name: kept" in part))
    code, out, err = mailboat("apply", "-f", str(later))
    assert (code, err) == (0, "")
    assert "emailclient.mailboat.dev/storefront unchanged" in out
    assert "RouteIncomplete" not in mailboat("describe", "emc", "storefront")[1]


def test_get_shows_the_printer_columns(mailboat: Command, file: Path) -> None:
    mailboat("apply", "-f", file)
    _, out, _ = mailboat("get", "emc")
    head, row = out.splitlines()
    assert head.split() == ["NAMESPACE", "NAME", "READY", "SUSPENDED", "USED", "QUOTA", "SECRET", "AGE"]
    assert row.split()[:-1] == ["shop", "storefront", "True", "false", "0", "50000", "storefront-email"]
    _, out, _ = mailboat("get", "emailproviders", "relay", "-n", "shop", "-o", "wide")
    assert "Unreachable" not in out
    assert out.splitlines()[1].split()[:5] == ["shop", "relay", "False", "smtp", "False"]
    _, out, _ = mailboat("get", "all", "-o", "json")
    kinds = [item["kind"] for item in json.loads(out)["items"]]
    assert kinds == ["EmailClient", "EmailTemplate", "EmailProvider", "EmailProvider"]
    _, out, _ = mailboat("get", "emt", "receipt", "-o", "yaml")
    assert yaml.safe_load(out)["status"]["conditions"][0]["type"] == "Ready"
    code, _, err = mailboat("get", "emt", "none")
    assert (code, err) == (
        1,
        "mailboat: There is no EmailTemplate 'none': `mailboat get emt` shows those that there are.\n",
    )


def test_describe_shows_conditions(mailboat: Command, file: Path) -> None:
    mailboat("apply", "-f", file)
    _, out, _ = mailboat("describe", "emp", "relay")
    assert "Name" in out
    assert "Reachable  " in out
    assert "SecretReady  " in out


def test_diff_shows_what_apply_would_change(mailboat: Command, file: Path) -> None:
    code, out, _ = mailboat("diff", "-f", file)
    assert code == 1
    assert "+  secretName" in out or "+    secretName: storefront-email" in out
    mailboat("apply", "-f", file)
    assert mailboat("diff", "-f", file) == (0, "", "")
    file.write_text(MANIFESTS.replace("50000", "60000"))
    code, out, _ = mailboat("diff", "-f", file)
    changes = [line for line in out.splitlines() if line[0] in "+-" and line[1] == " "]
    assert (code, changes) == (1, ["-    monthly: 50000", "+    monthly: 60000"])


def test_delete_takes_the_client_and_its_file(mailboat: Command, file: Path, data: Path) -> None:
    mailboat("apply", "-f", file)
    assert mailboat("delete", "emc", "storefront")[:2] == (0, "emailclient.mailboat.dev/storefront deleted\n")
    assert not (data / "secrets/shop/storefront-email.json").exists()
    assert mailboat("delete", "emc", "storefront")[0] == 1
    code, out, _ = mailboat("delete", "-f", file)
    assert (code, len(out.splitlines())) == (0, 3)
    assert mailboat("get", "all")[1].startswith("There are no resources")
    assert mailboat("delete", "emc")[0] == 2


def test_what_is_exported_can_be_applied_elsewhere(mailboat: Command, file: Path, data: Path) -> None:
    mailboat("apply", "-f", file)
    _, out, err = mailboat("export")
    assert "hunter2" not in out
    assert "REPLACE-ME" in out
    assert "REPLACE-ME" in err
    _, out, _ = mailboat("export", "--secrets")
    mailboat("delete", "-f", file)
    file.write_text(out)
    code, again, _ = mailboat("apply", "-f", file)
    assert code == 0
    assert len(again.splitlines()) == 4
    (secret,) = [one for one in yaml.safe_load_all(out) if one["metadata"]["name"] == "login"]
    assert secret["stringData"] == {"username": "mailboat", "password": "hunter2-and-more"}


def test_a_database_that_is_not_there_is_said(
    mailboat: Command, file: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/postgres")
    code, _, err = mailboat("apply", "-f", file)
    assert code == 1
    assert err.startswith("mailboat: No database (")
    assert f"start `mailboat up --data {data}`" in err


def test_programs_get_json_of_each(mailboat: Command, file: Path) -> None:
    code, out, err = mailboat("diff", "-f", file, "-o", "json")
    assert (code, err) == (1, "")
    assert {row["name"]: bool(row["diff"]) for row in json.loads(out)} == dict.fromkeys(
        ["kept", "relay", "receipt", "storefront"], True
    )
    code, out, err = mailboat("apply", "-f", file, "-o", "json")
    assert (code, err) == (0, "")
    applied = {row["name"]: row for row in json.loads(out)}
    assert {row["change"] for row in applied.values()} == {"created"}
    assert {"type": "Ready", "status": "False", "reason": "Unreachable"}.items() <= next(
        one for one in applied["relay"]["conditions"] if one["type"] == "Ready"
    ).items()
    code, out, _ = mailboat("describe", "emp", "kept", "-n", "shop", "--output", "json")
    assert (code, json.loads(out)["metadata"]["name"]) == (0, "kept")
    code, out, _ = mailboat("delete", "emp", "relay", "-n", "shop", "-o", "json")
    gone = {"kind": "EmailProvider", "namespace": "shop", "name": "relay", "change": "deleted"}
    assert (code, json.loads(out)) == (0, [gone])
