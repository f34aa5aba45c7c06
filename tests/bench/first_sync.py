"""What it costs an operator to come into a cluster that is full of resources.

    python -m tests.bench.first_sync [--templates 200] [--clients 80] [--namespaces 10] [--sweeps 2]

A real control plane (etcd, kube-apiserver, kube-controller-manager) and a PostgreSQL with fsync, both empty but for
the resources: four Jinja templates to one of React, none with Tailwind, and clients. Then an operator starts, with the
rights that the chart gives it, and is measured until everything is Ready; then another, which finds everything done,
and its sweeps. It begins to watch while the first of these waits. CPU time is what the kernel books for each process
with its children; all of them share this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import ssl
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from tests.bench.growth import POSTGRES
from tests.cluster import binaries
from tests.cluster.binaries import CONTROL_PLANE, HELM
from tests.cluster.conftest import running
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operated import SEALING_KEY, admit
from tests.conftest import QUICK, Postgres, Role, Server, free_port, in_thread

from mailboat.db import migrate
from mailboat.settings import Settings

API = "/apis/mailboat.dev/v1alpha1/namespaces"
NEVER, SWEEP_SECONDS = 3600.0, 20.0
PATIENCE_SECONDS = 900.0
TICK = os.sysconf("SC_CLK_TCK")

JINJA = """
<!doctype html><html lang="en"><body style="font-family: sans-serif; margin: 0">
<table width="100%" role="presentation"><tr><td style="padding: 24px">
<h1 style="font-size: 20px">Thanks, {{ name }}!</h1>
<p>We received your order <strong>{{ order }}</strong> of shop NUMBER and are getting it ready.</p>
<table width="100%" role="presentation">
{% for item in items %}
<tr><td style="border-bottom: 1px solid #dddddd; padding: 12px 0">{{ item.title }}{% if item.quantity > 1 %}
<span style="color: #666666">× {{ item.quantity }}</span>{% endif %}</td>
<td align="right" style="border-bottom: 1px solid #dddddd; padding: 12px 0"><strong>{{ item.price }}</strong></td></tr>
{% endfor %}
<tr><td style="padding-top: 16px">Total</td><td align="right" style="padding-top: 16px">{{ total }}</td></tr></table>
{% if paid %}<p>Paid with the card that ends in {{ card }}.</p>{% endif %}
<p><a href="{{ url }}">See your order</a></p>
<p style="color: #666666; font-size: 12px">You get this mail because you ordered. Answer it if something is amiss.</p>
</td></tr></table></body></html>
"""
REACT = """
import { Body, Container, Head, Heading, Html, Link, Preview, Section, Text } from 'react-email';

interface Item { title: string; quantity: number; price: string }
interface Props { order: string; name: string; items: Item[]; total: string; paid: boolean; card: string; url: string }

export default function Receipt({ order, name, items, total, paid, card, url }: Props) {
  return (
    <Html lang="en"><Head /><Preview>Your order {order}</Preview>
      <Body style={{ fontFamily: 'sans-serif' }}><Container>
        <Heading>Thanks, {name}!</Heading>
        <Text>We received your order <strong>{order}</strong> of shop NUMBER and are getting it ready.</Text>
        <Section>{items.map(({ title, quantity, price }) => (
          <Text key={title}>{title}{quantity > 1 && <span> × {quantity}</span>} <strong>{price}</strong></Text>
        ))}</Section>
        <Text>Total {total}</Text>
        {paid && <Text>Paid with the card that ends in {card}.</Text>}
        <Link href={url}>See your order</Link>
      </Container></Body>
    </Html>
  );
}
"""
EXAMPLE = {
    "order": "A-1042",
    "name": "Ada",
    "items": [{"title": f"Thing {n}", "quantity": n, "price": f"{n}.00 €"} for n in range(1, 5)],
    "total": "30.00 €",
    "paid": True,
    "card": "4242",
    "url": "https://shop.example.com/orders/A-1042",
}


# --- resources


def template(number: int) -> dict[str, Any]:
    """The spec of one, different from all the others."""
    engine, source = ("react", REACT) if number % 5 == 4 else ("jinja", JINJA)
    text = source.replace("NUMBER", str(number))
    return {"engine": engine, "subject": "Receipt {{ order }}", "source": text, "example": EXAMPLE}


def client(number: int) -> dict[str, Any]:
    return {
        "senders": [f"Shop {number} <orders@shop{number}.example.com>"],
        "credentials": {"secretName": f"client-{number}"},
        "rateLimit": {"perMinute": 600},
        "quota": {"monthly": 100_000},
    }


class Resources:
    """All of them, spread over namespaces."""

    def __init__(self, plane: ControlPlane, templates: int, clients: int, namespaces: int) -> None:
        self._plane, self.total = plane, templates + clients
        self._namespaces = [f"shop-{n}" for n in range(min(namespaces, self.total))]
        self._specs = [("EmailTemplate", f"receipt-{n}", template, n) for n in range(templates)]
        self._specs += [("EmailClient", f"client-{n}", client, n) for n in range(clients)]

    async def create(self) -> None:
        async with self._session() as session:
            for name in self._namespaces:
                metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await self._post(session, "/api/v1/namespaces", metadata)
            waiting = iter(list(enumerate(self._specs)))
            await asyncio.gather(*(self._create(session, waiting) for _ in range(8)))

    async def _create(self, session: aiohttp.ClientSession, waiting: Iterator[Any]) -> None:
        for place, (kind, name, spec, number) in waiting:
            namespace = self._namespaces[place % len(self._namespaces)]
            metadata = {"name": name, "namespace": namespace}
            manifest = {"apiVersion": "mailboat.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec(number)}
            await self._post(session, f"{API}/{namespace}/{kind.lower()}s", manifest)

    async def unready(self) -> list[str]:
        """Those that are not Ready, and why."""
        found = []
        async with self._session() as session:
            for plural in ("emailtemplates", "emailclients"):
                path, more = f"/apis/mailboat.dev/v1alpha1/{plural}", ""
                while True:
                    query = {"limit": "250"} | ({"continue": more} if more else {})
                    async with session.get(self._plane.url + path, params=query) as answer:
                        page = await answer.json()
                    found += [_why(one) for one in page["items"] if _why(one)]
                    if not (more := page["metadata"].get("continue", "")):
                        break
        return found

    async def _post(self, session: aiohttp.ClientSession, path: str, manifest: dict[str, Any]) -> None:
        async with session.post(self._plane.url + path, json=manifest) as answer:
            assert answer.status == 201, await answer.text()

    def _session(self) -> aiohttp.ClientSession:
        tls = ssl.create_default_context(cafile=str(self._plane.folder / "ca.crt"))
        headers = {"Authorization": f"Bearer {self._plane.admin_token}"}
        return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=tls, limit=16))


def _why(resource: Mapping[str, Any]) -> str:
    """ "" for one that is Ready in its newest generation."""
    conditions = {one["type"]: one for one in resource.get("status", {}).get("conditions", ())}
    ready = conditions.get("Ready", {})
    if (ready.get("status"), ready.get("observedGeneration")) == ("True", resource["metadata"]["generation"]):
        return ""
    return f"{resource['kind']} {resource['metadata']['name']}: {ready.get('reason')} {ready.get('message')}"


# --- processes


class Stat(NamedTuple):
    """Of one process: its parent, and the seconds of CPU of itself with the children that it has buried."""

    parent: int
    own: float
    buried: float


def _stat(pid: int) -> Stat | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, children_user, children_system = map(int, fields[11:15])
    return Stat(int(fields[1]), (user + system) / TICK, (children_user + children_system) / TICK)


def below(root: int) -> list[int]:
    """The living descendants of a process."""
    parents = {pid: found.parent for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if (found := _stat(pid))}
    found = [root]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def mebibytes(pids: list[int]) -> float:
    """What these hold together; what is shared counts once (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
    return total / 1024


class Books:
    """CPU time by part. What an operator's children do is the rendering."""

    def __init__(self, servers: Mapping[str, Server], operator: Role) -> None:
        self._servers, self.operator = servers, operator.process.pid

    def read(self) -> dict[str, float]:
        found = {name: self._tree(server.process.pid) for name, server in self._servers.items() if server.process}
        operator = _stat(self.operator)
        assert operator is not None
        return {"operator": operator.own, "rendering": self._tree(self.operator) - operator.own, **found}

    def memory(self) -> tuple[float, float]:
        """Of the operator, and of its rendering."""
        return mebibytes([self.operator]), mebibytes(below(self.operator))

    def _tree(self, root: int) -> float:
        return sum(found.own + found.buried for pid in [root, *below(root)] if (found := _stat(pid)))


class Peak(threading.Thread):
    """The most memory that the operator held so far, without its rendering. A context manager."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._over, self.mebibytes = pid, threading.Event(), 0.0

    def run(self) -> None:
        while not self._over.wait(0.5):
            self.mebibytes = max(self.mebibytes, mebibytes([self._pid]))

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


# --- the run


class Bench:
    """One cluster, one database."""

    def __init__(self, plane: ControlPlane, postgres: Postgres, resources: Resources, folder: Path) -> None:
        self._postgres, self._resources, self._log = postgres, resources, folder / "operator.log"
        self._operators: list[Role] = []
        self._namespace = plane.namespace()
        self._kubeconfig = admit(plane, self._namespace)
        self._servers = {
            "kube-apiserver": plane.api,
            "etcd": plane.etcd,
            "kube-controller-manager": plane.controllers,
            "postgres": postgres,
        }

    def close(self) -> None:
        for operator in self._operators:
            operator.close()

    def operator(self, sweep_seconds: float) -> Role:
        settings = Settings(
            **QUICK,
            port=free_port(),
            public_url="http://mailboat-api.test.svc",
            database_url=self._postgres.dsn(),
            lease=f"{self._namespace}/mailboat-operator",
            shards=f"{self._namespace}/mailboat-templates",
            sealing_key=SEALING_KEY,
            sweep_seconds=sweep_seconds,
        )
        self._operators.append(Role("operator", settings, self._log, {"KUBECONFIG": str(self._kubeconfig)}))
        return self._operators[-1]

    def first(self) -> None:
        """Until everything is Ready."""
        begun = time.monotonic()
        operator = self.operator(NEVER)
        books = Books(self._servers, operator)
        before = books.read()
        with Peak(operator.process.pid) as peak:
            self._until(operator, self._resources.total)
            while unready := asyncio.run(self._resources.unready()):
                _say(f"\n{len(unready)} are not ready: {unready[0]}\n")
                assert time.monotonic() - begun < PATIENCE_SECONDS
                time.sleep(2)
            seconds = time.monotonic() - begun
            self._report("first sync", seconds, before, books)
        own, rendering = books.memory()
        _say(f"memory: operator {own:.0f} MiB (peak {peak.mebibytes:.0f}), rendering {rendering:.0f} MiB\n")
        operator.stop()

    def again(self, sweeps: int) -> None:
        """Another operator, and its sweeps."""
        begun = time.monotonic()
        operator = self.operator(SWEEP_SECONDS)
        books = Books(self._servers, operator)
        before = books.read()
        self._until(operator, self._resources.total)
        self._report("another operator, nothing to do", time.monotonic() - begun, before, books)
        for number in range(2, sweeps + 2):
            before, begun = books.read(), time.monotonic()
            self._until(operator, number * self._resources.total)
            self._report("sweep, with the pause before it", time.monotonic() - begun, before, books)
            own, rendering = books.memory()
            _say(f"memory: operator {own:.0f} MiB, rendering {rendering:.0f} MiB\n")
        operator.stop()

    def _until(self, operator: Role, count: int) -> None:
        begun = time.monotonic()
        while (done := _reconciles(operator.settings.port)) < count:
            assert operator.process.poll() is None, operator.log.read_text()[-2000:]
            assert time.monotonic() - begun < PATIENCE_SECONDS, operator.log.read_text()[-2000:]
            _say(f"\r{done:,} of {count:,}  ")
            time.sleep(0.25)
        _say("\r")

    def _report(self, what: str, seconds: float, before: Mapping[str, float], books: Books) -> None:
        after = books.read()
        spent = {name: after[name] - before[name] for name in after}
        load, total, each = os.getloadavg()[0], sum(spent.values()), 1000 / self._resources.total
        _say(f"{what}: {seconds:.1f} s, {total:.1f} s of CPU (load {load:.1f})\n")
        for name, cpu in spent.items():
            _say(f"    {name:24} {cpu:7.1f} s {cpu * each:7.2f} ms a resource\n")


def _reconciles(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return sum(map(int, re.findall(r'outcome="done"} (\d+)', text)))


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description="What a first sync costs.")
    parser.add_argument("--templates", type=int, default=200)
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--namespaces", type=int, default=10)
    parser.add_argument("--sweeps", type=int, default=2)
    arguments = parser.parse_args()
    if (wrong := binaries.wants_go([*CONTROL_PLANE, *HELM])) is not None:
        raise SystemExit(wrong)
    built = binaries.build([*CONTROL_PLANE, *HELM])
    with tempfile.TemporaryDirectory(prefix="mailboat-sync-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("postgres", "cluster"):
            (folder / part).mkdir()
        postgres = Postgres(folder / "postgres", **POSTGRES)
        postgres.start()
        try:
            in_thread(lambda: migrate.upgrade(postgres.dsn()))
            plane = ControlPlane(built, folder / "cluster")
            with running(plane):
                resources = Resources(plane, arguments.templates, arguments.clients, arguments.namespaces)
                asyncio.run(resources.create())
                bench = Bench(plane, postgres, resources, folder)
                try:
                    bench.first()
                    bench.again(arguments.sweeps)
                finally:
                    bench.close()
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
