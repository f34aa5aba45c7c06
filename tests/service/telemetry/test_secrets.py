"""No secret is shown by anything but the answer that makes it: not logs, errors, pages, metrics, traces, commands."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mailboat.declare.seal import new_key
from mailboat.settings import variable

MARK = "m4rk"
ADMIN, UNSUBSCRIBE, DATABASE = f"{MARK}-admin-token", f"{MARK}-unsubscribe-key-{'0' * 32}", f"{MARK}-database"
WORDS = {"subject": f"{MARK}-subject", "text": f"{MARK}-body", "html": f"<p>{MARK}-body</p>"}
MANIFESTS = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: login, namespace: default}}
stringData: {{username: mailboat, password: {MARK}-smtp-password}}
---
apiVersion: v1
kind: Secret
metadata: {{name: hook, namespace: default}}
stringData: {{secret: {MARK}-hook-secret}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailProvider
metadata: {{name: relay, namespace: default}}
spec:
  smtp: {{host: 127.0.0.1, port: 1, tls: none}}
  credentials: {{secretRef: {{name: login}}}}
---
apiVersion: mailboat.dev/v1alpha1
kind: EmailClient
metadata: {{name: shop, namespace: default}}
spec:
  senders: ["orders@shop.example.com"]
  route: [relay]
  credentials: {{secretName: shop-email}}
  webhooks:
    - {{url: "https://shop.example.com/hook", secretRef: {{name: hook, key: secret}}, events: [bounced]}}
"""
LISTED = [
    {"name": "grid", "sendgrid": {}, "credentials": {"api-key": f"{MARK}-api-key"}},
    {"name": "gun", "mailgun": {"domain": "x.example"}, "credentials": {"api-key": f"{MARK}-gun-key"},
     "webhook": {"signing-key": f"{MARK}-signing-key"}},
    {"name": "mark", "postmark": {}, "credentials": {"server-token": f"{MARK}-server-token"},
     "webhook": {"username": "u", "password": f"{MARK}-webhook-password"}},
]  # fmt: skip
PAGES = """
/ui /ui/messages /ui/clients /ui/clients/default/storefront /ui/clients/default/shop /ui/providers /ui/webhooks
/ui/dead-letters /ui/held /ui/suppressions /ui/audit /ui/templates /ui/inbox /ui/health /ui/welcome /ui/usage
""".split()  # noqa: SIM905 - a list of words
CALLS = """
/v1/messages /v1/templates /v1/suppressions /v1/usage /v1/webhook-endpoints /admin/clients /admin/providers
/admin/clients/default/storefront /admin/clients/default/storefront/keys /admin/clients/default/shop
/admin/dead-letters /admin/dead-letters/reasons /admin/held /metrics /readyz /openapi.json
""".split()  # noqa: SIM905 - a list of words


class Strict(http.server.ThreadingHTTPServer):
    """A provider's API that does not know us, and says so with all that it was told."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.dumps({"errors": [{"message": f"bad credentials: {dict(self.headers)}"}]}).encode()
                self.send_response(401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815 - its name is the library's

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


@pytest.fixture
def strict() -> Iterator[Strict]:
    server = Strict()
    yield server
    server.close()


@pytest.fixture
def settings(settings_of: Callable[..., Any], dsn: str, strict: Strict, free_port: Any, tmp_path: Path) -> Any:
    grid, *others = LISTED
    listed = [grid | {"sendgrid": {"endpoint": strict.url}}, *others]
    (tmp_path / "providers.yaml").write_text(yaml.safe_dump(listed))
    return settings_of(
        port=free_port(), providers_file=str(tmp_path / "providers.yaml"), sealing_key=new_key(), admin_token=ADMIN,
        unsubscribe_key=UNSUBSCRIBE, database_url=re.sub(r"postgres:?@", f"postgres:{DATABASE}@", dsn),
        dashboard="login", log_level="debug", smtp_url=f"smtp://mailboat:{MARK}-url-password@127.0.0.1:1?tls=none",
    )  # fmt: skip


@pytest.fixture
def command(settings: Any, tmp_path: Path) -> Callable[..., str]:
    """command(*words): what `mailboat` says, on both streams, on this installation."""
    chosen = {variable(name): str(value) for name in settings.__struct_fields__ if (value := getattr(settings, name))}

    def run(*words: str, **changes: str) -> str:
        program = [sys.executable, "-P", "-m", "mailboat", *words]
        said = subprocess.run(
            program, env={"PATH": "", **chosen, **changes}, capture_output=True, text=True, cwd=tmp_path
        )
        return said.stdout + said.stderr

    return run


def test_no_secret_is_shown_by_anything_but_the_answer_that_makes_it(
    collector, settings, command, strict, start_role, client, query, until, tmp_path
):
    assert DATABASE in settings.database_url
    shown: dict[str, str] = {}
    (tmp_path / "manifests.yaml").write_text(MANIFESTS)
    shown["apply"] = command("apply", "-f", "manifests.yaml")
    assert "emailclient.mailboat.dev/shop created" in shown["apply"]
    roles = [start_role(role, settings, **collector.environment) for role in ("api", "worker")]
    query("update clients set route = array['grid'] where name = $1", client.name)
    admin, ours = {"Authorization": f"Bearer {ADMIN}"}, client.headers
    with httpx.Client(base_url=roles[0].url, timeout=30) as http_:
        # What is shown once, and never again.
        made = http_.post("/v1/webhook-endpoints", json={"url": "https://shop.example.com/x"}, headers=ours).json()
        key = http_.post("/admin/clients/default/storefront/keys", headers=admin).json()
        secrets = [
            client.secret, key["secret"], made["secret"], settings.sealing_key,
            json.loads((tmp_path / "data/secrets/default/shop-email.json").read_text())["api-secret"],
        ]  # fmt: skip
        # Roads that fail.
        wrong = {"X-Api-Key": client.key, "X-Api-Secret": f"{MARK}-wrong-secret"}
        shown["401"] = http_.get("/v1/messages", headers=wrong).text
        shown["admin 401"] = http_.get("/admin/clients", headers={"Authorization": f"Bearer {MARK}-wrong"}).text
        shown["login"] = http_.post(
            "/ui/login", data={"token": f"{MARK}-wrong"}, headers={"Sec-Fetch-Site": "same-origin"}
        ).text
        for kind, name in (("mailgun", "gun"), ("postmark", "mark")):
            posted = http_.post(f"/webhooks/{kind}/{name}", content=b"{}", headers={"Authorization": f"Basic {MARK}"})
            shown[f"webhook {kind}"] = posted.text
        shown["test"] = http_.post("/admin/providers/grid/test", headers=admin).text
        # A mail, which the provider refuses with our own key in its words.
        sent = http_.post("/v1/send", json={"to": "ada@example.com", **WORDS}, headers=ours)
        assert sent.status_code == 202, sent.text
        until(lambda: query("select from attempts"), "an attempt")
        shown["message"] = http_.get(f"/v1/messages/{sent.json()['id']}", headers=ours).text
        assert "401" in shown["message"]
        login = http_.post("/ui/login", data={"token": ADMIN}, headers={"Sec-Fetch-Site": "same-origin"})
        assert login.status_code == 303
        for path in PAGES:
            shown[path] = http_.get(path, follow_redirects=True).text
        for path in CALLS:
            shown[path] = http_.get(path, headers=admin if path.startswith(("/admin", "/metrics")) else ours).text
    shown |= {" ".join(words): command(*words) for words in (
        ("get", "emailproviders", "-o", "yaml"), ("describe", "emailclient", "shop"), ("export",),
    )}  # fmt: skip
    shown["away"] = command("get", "emailclients", DATABASE_URL=f"postgresql://mailboat:{DATABASE}@127.0.0.1:1/x")
    shown["wrong URL"] = command("worker", MAILBOAT_SMTP_URL=f"smtpx://u:{MARK}-url-password@127.0.0.1")
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump([{"name": "x", "sendgrid": {}, "credentials": f"{MARK}-x"}]))
    shown["wrong file"] = command("worker", MAILBOAT_PROVIDERS_FILE="broken.yaml")
    assert [role.stop() for role in roles] == [0, 0]
    shown |= {role.name: role.log.read_text() for role in roles}
    shown["traces"] = collector.raw.decode("latin-1")
    marked = re.compile(f"{MARK}-(?!subject|body)[a-z-]+|" + "|".join(map(re.escape, secrets)))
    assert {place: found for place, text in shown.items() if (found := sorted(set(marked.findall(text))))} == {}
    told = {place: shown[place] for place in ("api", "worker", "traces", "/metrics")}
    assert [place for place, text in told.items() if re.search(f"{MARK}-(subject|body)", text)] == []
    assert len(shown["worker"].splitlines()) > 2
    assert {place for place, text in shown.items() if not text} <= {"/ui/health"}  # it is well
    assert "Client" in shown["/ui/clients"]
