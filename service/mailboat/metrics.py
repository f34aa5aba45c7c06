"""Metrics: every family that Mailboat exposes, and the Prometheus text they are read as.

This file is the list: what a process counts is named here and nowhere else, docs/metrics.md says what each means. A
family has few label values by design, and MOST_SERIES at most by force: what comes later is counted as `other`. So no
caller, client or template can make a process grow. Families belong to the thread of the event loop; nothing here locks.

Not prometheus_client: its labelled counter takes 1.1 µs where ours takes a quarter of that, and importing it costs
70 ms and 10 MB, in each process.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

import mailboat

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 200  # of one family
OTHER = "other"
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

Labels = tuple[str, ...]
FAMILIES: list[Family] = []


class Family:
    """Samples under one name, told apart by the values of `labels`. `roles` are the processes that have it."""

    kind = "untyped"

    def __init__(self, name: str, description: str, labels: Labels = (), *, roles: Sequence[str]) -> None:
        self.name, self.description, self.labels, self.roles = name, description, labels, frozenset(roles)
        self._other = (OTHER,) * len(labels)
        FAMILIES.append(self)

    def samples(self) -> Iterator[tuple[str, Labels, Labels, float]]:
        """Name, label names, label values and value of each sample."""
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.description}"
        yield f"# TYPE {self.name} {self.kind}"
        for name, labels, values, value in self.samples():
            yield f"{name}{_labelled(labels, values)} {value:.10g}"


class Counter(Family):
    """Counts up, from 0 at the start of the process."""

    kind = "counter"

    def __init__(self, name: str, description: str, labels: Labels = (), *, roles: Sequence[str]) -> None:
        super().__init__(name, description, labels, roles=roles)
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def inc(self, *values: str, by: float = 1) -> None:
        """One more (or `by`) for these label values."""
        known = self._values
        if values not in known:
            values = values if len(known) < MOST_SERIES else self._other
            known.setdefault(values, 0)
        known[values] += by

    def value(self, *values: str) -> float:
        return self._values.get(values, 0)

    def samples(self) -> Iterator[tuple[str, Labels, Labels, float]]:
        for values, value in self._values.items():
            yield self.name, self.labels, values, value


class Gauge(Family):
    """A value as it is now. Those about the state of others are set just before somebody looks."""

    kind = "gauge"

    def __init__(self, name: str, description: str, labels: Labels = (), *, roles: Sequence[str]) -> None:
        super().__init__(name, description, labels, roles=roles)
        self._values: Mapping[Labels, float] = {}

    def set(self, value: float) -> None:
        self._values = {(): value}

    def replace(self, values: Mapping[Labels, float]) -> None:
        """These samples in place of those before; MOST_SERIES of them."""
        self._values = dict(list(values.items())[:MOST_SERIES])

    def samples(self) -> Iterator[tuple[str, Labels, Labels, float]]:
        for values, value in self._values.items():
            yield self.name, self.labels, values, value


class Histogram(Family):
    """How values spread over `bounds`, each of which counts what is at most so large."""

    kind = "histogram"

    def __init__(
        self, name: str, description: str, labels: Labels = (), *, roles: Sequence[str], bounds: Sequence[float]
    ) -> None:
        super().__init__(name, description, labels, roles=roles)
        self._bounds = tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        if not labels:
            self._begin(())

    def _begin(self, values: Labels) -> Labels:
        if len(self._counts) >= MOST_SERIES:
            values = self._other
        if values not in self._counts:
            self._counts[values], self._sums[values] = [0] * (len(self._bounds) + 1), 0.0
        return values

    def observe(self, value: float, *values: str) -> None:
        if values not in self._counts:
            values = self._begin(values)
        self._counts[values][bisect_left(self._bounds, value)] += 1
        self._sums[values] += value

    def count(self, *values: str) -> int:
        return sum(self._counts.get(values, ()))

    def samples(self) -> Iterator[tuple[str, Labels, Labels, float]]:
        bounded = (*self.labels, "le")
        for values, counts in self._counts.items():
            total = 0
            for bound, count in zip((*(f"{bound:g}" for bound in self._bounds), "+Inf"), counts, strict=True):
                total += count
                yield f"{self.name}_bucket", bounded, (*values, bound), total
            yield f"{self.name}_sum", self.labels, values, self._sums[values]
            yield f"{self.name}_count", self.labels, values, total


def exposition(role: str) -> bytes:
    """Every family of this role in the Prometheus text format 0.0.4."""
    lines = [line for family in FAMILIES if role in family.roles for line in family.lines()]
    return ("\n".join(lines) + "\n").encode()


def _labelled(labels: Iterable[str], values: Iterable[str]) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


# --- every process

ROLES = ("api", "worker", "watcher", "operator")
BUILD = Gauge("mailboat_build_info", "1; the labels say what runs.", ("version", "python"), roles=ROLES)
BUILD.replace({(mailboat.__version__, ".".join(map(str, sys.version_info[:3]))): 1})

# --- api: what comes in

_API = ("api",)
ACCEPTED = Counter("mailboat_accepted_total", "Messages stored, by lane.", ("lane",), roles=_API)
REPEATED = Counter(
    "mailboat_repeated_total", "Messages whose idempotency key was known: answered, not stored again.", roles=_API
)
REFUSED = Counter(
    "mailboat_refused_total",
    "Sends and batches refused as a whole, and refused messages of batches, by the problem's code.",
    ("code",),
    roles=_API,
)
ACCEPT_SECONDS = Histogram(
    "mailboat_accept_seconds", "From a read head of POST /v1/send to its answer.", roles=_API, bounds=FAST
)
ACCEPT_WAITING = Gauge("mailboat_accept_waiting", "Messages that wait for a statement to store them.", roles=_API)
ACCEPT_BATCH = Histogram("mailboat_accept_batch_messages", "Messages per storing statement.", roles=_API, bounds=SIZES)
BODY_BYTES = Gauge(
    "mailboat_body_bytes", "Octets of request bodies, and of files fetched for them, in memory.", roles=_API
)
FETCHES = Counter(
    "mailboat_attachment_fetches_total",
    "Files asked for by URL, by what came of it: fetched, refused, failed.",
    ("outcome",),
    roles=_API,
)
LOCAL_LIMITS = Counter(
    "mailboat_local_limit_decisions_total", "Rate limit decisions made without Valkey, by this process.", roles=_API
)
WEBHOOKS = Counter(
    "mailboat_webhooks_total",
    "Deliveries of providers' webhooks by verdict: taken, forged, malformed, unverifiable.",
    ("provider", "verdict"),
    roles=_API,
)

# --- api: what stands in Postgres, looked up when somebody asks (`delivery.backlog`)

QUEUE = Gauge("mailboat_queue_messages", "Messages that wait for a worker; counted to 100000.", ("lane",), roles=_API)
QUEUE_AGE = Gauge("mailboat_queue_age_seconds", "How long the first of them has waited.", ("lane",), roles=_API)
SENDING = Gauge("mailboat_sending_messages", "Messages that a worker has.", roles=_API)
SCHEDULED = Gauge("mailboat_scheduled_messages", "Messages that wait for a time; counted to 100000.", roles=_API)
STOPPED = Gauge(
    "mailboat_stopped_messages", "Dead letters and held messages; counted to 100000.", ("state",), roles=_API
)
LIVE_TEMPLATES = Gauge("mailboat_templates", "Templates that have a live revision.", roles=_API)
LIVE_TEMPLATE = Gauge(
    "mailboat_template_info",
    "1; the live revision of each of the 100 templates that changed last.",
    ("namespace", "template", "revision"),
    roles=_API,
)
WORKERS = Gauge("mailboat_workers", "Workers whose heartbeat is fresher than their lease.", roles=_API)
WORKER_AGE = Gauge("mailboat_worker_heartbeat_age_seconds", "Age of the freshest worker's heartbeat.", roles=_API)
LOOKED_AT = Gauge("mailboat_backlog_up", "1 if Postgres answered what the gauges about it ask.", roles=_API)

# --- worker: what goes out

_WORKER, _RENDERING = ("worker",), ("api", "worker")
ATTEMPTS = Counter(
    "mailboat_attempts_total",
    "Attempts by provider, outcome (sent, retryable, failed, uncertain) and where the message went: sent, scheduled, "
    "failed, dead, held, moved (to the next provider of its route).",
    ("provider", "outcome", "ends"),
    roles=_WORKER,
)
SEND_SECONDS = Histogram(
    "mailboat_send_seconds", "How long attempts took, by provider.", ("provider",), roles=_WORKER, bounds=SLOW
)
DELIVER_BATCH = Histogram("mailboat_deliver_batch_messages", "Messages per claimed batch.", roles=_WORKER, bounds=SIZES)
BOOK_BATCH = Histogram("mailboat_book_batch_messages", "Verdicts per booking statement.", roles=_WORKER, bounds=SIZES)
RENDER_SECONDS = Histogram(
    "mailboat_render_seconds",
    "From jobs handed to an engine's pool to their last result, waiting included.",
    ("engine",),
    roles=_RENDERING,
    bounds=FAST,
)
RENDERED = Counter(
    "mailboat_rendered_total",
    "Render jobs by engine and outcome: rendered, fault, unavailable.",
    ("engine", "outcome"),
    roles=_RENDERING,
)
RENDER_KILLS = Counter(
    "mailboat_render_kills_total", "Render processes killed for taking too long.", ("engine",), roles=_RENDERING
)
RENDER_DEATHS = Counter(
    "mailboat_render_deaths_total", "Render processes that ended by themselves.", ("engine",), roles=_RENDERING
)
EVENTS = Counter(
    "mailboat_events_total",
    "Events that providers reported, by provider and kind.",
    ("provider", "event"),
    roles=_WORKER,
)
CIRCUIT_OPEN = Gauge(
    "mailboat_circuit_open",
    "1 while a provider's circuit lets nothing through, or one message that tries whether it is well.",
    ("provider",),
    roles=_WORKER,
)
HEARTBEAT_AGE = Gauge("mailboat_heartbeat_age_seconds", "Since this worker's last heartbeat.", roles=_WORKER)

# --- watcher

_WATCHER = ("watcher",)
PUBLISHED = Counter("mailboat_templates_published_total", "Revisions that were made live.", roles=_WATCHER)
BROKEN = Gauge("mailboat_templates_broken", "Templates of the folder that cannot be read.", roles=_WATCHER)
