"""An operator at work in a namespace of its own, with the rights that the chart gives it and no others."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.cluster.control_plane import ControlPlane
from tests.conftest import Role, until

from mailboat.settings import Settings

CHART = Path(__file__).parents[2] / "charts/mailboat"
SEALING_KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
ROTATE = "mailboat.dev/rotate-requested-at"


def rendered(cluster: ControlPlane, namespace: str, *values: str, only: str = "") -> list[dict[str, Any]]:
    """What `helm template` makes of the chart: all of it, or the manifests of one template."""
    sets = [word for value in values for word in ("--set", value)]
    argv = [cluster.binaries / "helm", "template", "mailboat", CHART, "--namespace", namespace, *sets]
    argv += ["--show-only", f"templates/{only}.yaml"] if only else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def admit(cluster: ControlPlane, namespace: str, *values: str, url: str = "") -> Path:
    """Give the operator its rights in the cluster; the kubeconfig of its ServiceAccount, which leads to `url`."""
    manifests = rendered(cluster, namespace, *values, only="operator-rbac")
    manifests += rendered(cluster, namespace, *values, only="shards")
    for manifest in manifests:
        if manifest["kind"] in ("ServiceAccount", "Lease", "Role", "RoleBinding", "ConfigMap"):
            manifest["metadata"].setdefault("namespace", namespace)
    cluster.apply(*manifests)
    return cluster.kubeconfig(f"operator-{namespace}", cluster.token(namespace, "mailboat-operator"), url)


class Answer(NamedTuple):
    status: int
    body: Any


class Operated:
    """`changes` are settings of its operators. The API and the worker are started when they are asked for."""

    def __init__(
        self,
        cluster: ControlPlane,
        namespace: str,
        kubeconfig: Path,
        settings_of: Callable[..., Settings],
        start_role: Callable[..., Role],
        free_port: Callable[[], int],
        **changes: Any,
    ) -> None:
        self.cluster, self.namespace, self.kubeconfig = cluster, namespace, kubeconfig
        self._settings_of, self._start_role, self._free_port = settings_of, start_role, free_port
        self._changes = changes
        self._parts: dict[str, Role] = {}
        self.leader = self.operator()

    def operator(self, **changes: Any) -> Role:
        """Another replica. It leads once it has logged `leading`."""
        own = {
            "port": self._free_port(),
            "public_url": "http://mailboat-api.test.svc",
            "lease": f"{self.namespace}/mailboat-operator",
            "shards": f"{self.namespace}/mailboat-templates",
            "watch_namespaces": self.namespace,
            "sealing_key": SEALING_KEY,
            **self._changes,
        }
        return self._start_role("operator", self._settings_of(**own | changes), KUBECONFIG=str(self.kubeconfig))

    def part(self, name: str) -> Role:
        if name not in self._parts:
            settings = self._settings_of(port=self._free_port(), sealing_key=SEALING_KEY)
            self._parts[name] = self._start_role(name, settings)
        return self._parts[name]

    # --- resources

    def manifest(self, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "mailboat.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    def client(self, **spec: Any) -> None:
        base = {"senders": ["orders@shop.example.com"], "credentials": {"secretName": "storefront-email"}}
        self.cluster.apply(self.manifest("EmailClient", "storefront", base | spec))

    def template(self, source: str = "<p>Order {{ order }}</p>", name: str = "receipt", **spec: Any) -> None:
        base = {"subject": "Receipt {{ order }}", "source": source, "example": {"order": "A-1"}}
        self.cluster.apply(self.manifest("EmailTemplate", name, base | spec))

    def provider(self, name: str = "relay", **spec: Any) -> None:
        self.cluster.apply(self.manifest("EmailProvider", name, spec or {"inbox": {}}))

    def secret(self, name: str, **values: str) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})

    def annotate(self, kind: str, name: str, annotation: str) -> None:
        self.cluster.kubectl("annotate", kind, name, "-n", self.namespace, "--overwrite", annotation)

    def delete(self, kind: str, name: str) -> None:
        """Comes back when it is gone."""
        self.cluster.kubectl("delete", kind, name, "-n", self.namespace, "--timeout=25s")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.cluster.get(kind, name, self.namespace)

    def condition(self, kind: str, name: str, condition: str = "Ready") -> dict[str, Any]:
        """Of the newest generation; {} when there is none yet."""
        found = self.get(kind, name)
        listed = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
        one = listed.get(condition, {})
        return one if one.get("observedGeneration") == found.get("metadata", {}).get("generation") else {}

    def until(self, kind: str, name: str, reason: str, condition: str = "Ready") -> dict[str, Any]:
        """Wait for a reason; the condition."""
        last: list[dict[str, Any]] = [{}]

        def there() -> bool:
            last[0] = self.condition(kind, name, condition)
            return last[0].get("reason") == reason

        until(there, f"{kind} {name} to be {condition} for {reason}; it is {last[0] or self.get(kind, name)}")
        return last[0]

    def credentials(self, name: str = "storefront-email") -> dict[str, str]:
        """What the Secret holds, {} when it is not there."""
        return {
            key: base64.b64decode(text).decode() for key, text in (self.get("secret", name).get("data") or {}).items()
        }

    # --- the API

    def ask(self, method: str, path: str, body: Any = None, pair: Mapping[str, str] | None = None) -> Answer:
        """As the client, with the pair in its Secret or with this one."""
        held = self.credentials() if pair is None else pair
        headers = {"X-Api-Key": held.get("api-key", ""), "X-Api-Secret": held.get("api-secret", "")}
        connection = http.client.HTTPConnection("127.0.0.1", self.part("api").settings.port, timeout=10)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers | {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read() or b"null"))
        finally:
            connection.close()

    def send(self, pair: Mapping[str, str] | None = None, **body: Any) -> Answer:
        mail = {"template": "receipt", "to": "ada@example.com", "data": {"order": "A-1042"}}
        return self.ask("POST", "/v1/send", mail | body, pair)
