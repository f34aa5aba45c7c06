"""DKIM of an SMTP provider, as a list of providers and as an EmailProvider give it: what is on the wire verifies."""

from __future__ import annotations

import base64
from typing import Any

import dkim
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from mailboat.db.states import State
from mailboat.declare import seal
from mailboat.declare.declarer import Declarer
from mailboat.declare.inputs import Inputs
from mailboat.declare.seal import Sealer
from mailboat_crds import check

KEY = ed25519.Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def verifies(raw: bytes) -> bool:
    records = {b"s2026._domainkey.example.com.": f"v=DKIM1; k=ed25519; p={PUBLIC}".encode()}
    return bool(dkim.verify(raw, dnsfunc=lambda name, timeout=5: records.get(name, b"")))


@pytest.fixture
def arrives(send: Any, sink: Any, query: Any, eventually: Any) -> Any:
    """await arrives(client): one mail as it came over the wire."""

    async def arrives(client: Any) -> bytes:
        await send(client)
        await eventually(lambda: query("select state from queue")[0][0] == State.SENT)
        raw: bytes = sink.taken[0].raw
        return raw

    return arrives


async def test_of_a_list_of_providers(
    arrives: Any, new_client: Any, start_role: Any, settings_of: Any, sink: Any, tmp_path: Any
) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    signing = {"domain": "example.com", "selector": "s2026", "keyFile": str(tmp_path / "key.pem")}
    relay = {"name": "relay", "smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none", "dkim": signing}}
    (tmp_path / "providers.yaml").write_bytes(msgspec.json.encode([relay]))
    start_role("worker", settings_of(providers_file=str(tmp_path / "providers.yaml")))
    raw = await arrives(new_client("shop", route=["relay"]))
    assert b"d=example.com;" in raw
    assert verifies(raw)
    assert not verifies(raw.replace(b"Hello", b"Hullo"))


async def test_of_an_email_provider(
    arrives: Any, new_client: Any, start_role: Any, settings_of: Any, sink: Any, pool: Any
) -> None:
    sealing_key = seal.new_key()
    signing = {"domain": "example.com", "selector": "s2026", "secretRef": {"name": "dkim"}}
    spec = {"smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none", "dkim": signing}}
    declarer = Declarer(pool, None, Sealer(sealing_key), url="", actor="test")  # type: ignore[arg-type]
    relay = {"apiVersion": "mailboat.dev/v1alpha1", "kind": "EmailProvider", "spec": spec}
    metadata = {"name": "relay", "namespace": "default"}
    outcome = await declarer.apply(
        check.resource({**relay, "metadata": metadata}), Inputs({"dkim": {"private-key": PEM}})
    )
    assert outcome.status.conditions[0].status == "True", outcome.status.conditions
    start_role("worker", settings_of(sealing_key=sealing_key))
    raw = await arrives(new_client("shop", route=["relay"]))
    assert b"s=s2026;" in raw
    assert verifies(raw)
