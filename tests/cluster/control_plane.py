"""etcd, kube-apiserver and kube-controller-manager on ports of their own of this machine's loopback, without rights."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tests.conftest import Server, free_port, until


class ControlPlane:
    """A cluster without nodes: everything but pods is real. `address` is where its API server listens."""

    def __init__(self, binaries: Path, folder: Path, address: str = "127.0.0.1", flags: Iterable[str] = ()) -> None:
        self.binaries, self.folder = binaries, folder
        self.url = f"https://{address}:{free_port()}"
        self.admin_token = secrets.token_urlsafe(16)
        self._pki(address)
        (folder / "tokens.csv").write_text(
            f'{self.admin_token},admin,admin,"system:masters"\nnode,system:node:node,node,"system:nodes"\n'
        )
        self.admin = self.kubeconfig("admin", self.admin_token)
        self.etcd = self._etcd()
        self.api = self._api_server(address, flags)
        self.controllers = self.server(
            "kube-controller-manager",
            f"--kubeconfig={self.admin}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={folder}/sa.key",
            f"--root-ca-file={folder}/ca.crt",
        )

    def start(self) -> None:
        for server in (self.etcd, self.api, self.controllers):
            server.start()
        until(lambda: self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0, "a ServiceAccount")

    def stop(self) -> None:
        for server in (self.controllers, self.api, self.etcd):
            server.stop(9)

    def server(self, name: str, *flags: object, serves: Any = None) -> Server:
        argv = [str(self.binaries / name), *map(str, flags)]
        return Server(argv, self.folder / f"{name}.log", serves or (lambda _: True), cwd=self.folder)

    # --- what tests do with it

    def kubectl(self, *arguments: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """As the administrator. With `check` a refusal fails the test and shows why."""
        argv = [self.binaries / "kubectl", f"--kubeconfig={self.admin}", *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
        assert not check or done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done

    def apply(self, *manifests: dict[str, Any], check: bool = True) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump_all(manifests, allow_unicode=True)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text, check=check)

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """The object, {} when it is not there."""
        done = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def namespace(self) -> str:
        """A new one."""
        name = f"test-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        return name

    def token(self, namespace: str, account: str) -> str:
        return self.kubectl("create", "token", account, "-n", namespace, "--duration=1h").stdout.strip()

    def kubeconfig(self, name: str, token: str, url: str = "") -> Path:
        """`url`: where to find the API server, if not where it is."""
        path = self.folder / f"{name}.conf"
        cluster = {"server": url or self.url, "certificate-authority": str(self.folder / "ca.crt")}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    # --- its parts

    def _etcd(self) -> Server:
        self._store, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        return self.server(
            "etcd",
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._store}",
            f"--advertise-client-urls={self._store}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def _api_server(self, address: str, flags: Iterable[str]) -> Server:
        folder = self.folder
        return self.server(
            "kube-apiserver",
            f"--etcd-servers={self._store}",
            f"--tls-cert-file={folder}/server.crt",
            f"--tls-private-key-file={folder}/server.key",
            f"--cert-dir={folder}/pki",
            f"--bind-address={address}",
            f"--secure-port={self.url.rpartition(':')[2]}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/sa.pub",
            f"--service-account-signing-key-file={folder}/sa.key",
            f"--token-auth-file={folder}/tokens.csv",
            f"--kubelet-client-certificate={folder}/kubelet-client.crt",
            f"--kubelet-client-key={folder}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            *(["--endpoint-reconciler-type=none"] if address == "127.0.0.1" else [f"--advertise-address={address}"]),
            *flags,
            serves=self._ready,
        )

    def _ready(self, _: int) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.admin_token}"})
        trusted = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        try:
            with urllib.request.urlopen(request, context=trusted, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _pki(self, address: str) -> None:
        """The API server's certificate, signed by itself, and the key of ServiceAccount tokens."""
        key, account = _key(self.folder / "server.key"), _key(self.folder / "sa.key")
        public = account.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "sa.pub").write_bytes(public)
        certificate = _certificate(key, "kube-apiserver", [address, "10.96.0.1"])
        for name in ("server.crt", "ca.crt"):
            (self.folder / name).write_bytes(certificate)
        # What the API server shows to the kubelet, for `kubectl logs`.
        own = _key(self.folder / "kubelet-client.key")
        (self.folder / "kubelet-client.crt").write_bytes(
            _certificate(own, "kube-apiserver", [address], "system:masters")
        )


def _key(path: Path) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(plain)
    path.chmod(0o600)
    return key


def _certificate(key: rsa.RSAPrivateKey, common: str, addresses: list[str], group: str = "") -> bytes:
    """Signed by itself."""
    words = {NameOID.COMMON_NAME: common} | ({NameOID.ORGANIZATION_NAME: group} if group else {})
    name = x509.Name([x509.NameAttribute(kind, word) for kind, word in words.items()])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([*hosts, x509.DNSName("kubernetes.default.svc")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
