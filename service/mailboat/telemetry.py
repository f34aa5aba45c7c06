"""Logs and traces.

Logs are JSON lines. Traces follow W3C Trace Context: a message carries its `traceparent` in its row, so one trace goes
from the caller through API, queue and worker to the provider, and on to what is reported and told later, across
restarts. No span holds an address, a secret or words of anybody else. The OpenTelemetry SDK is loaded only
when the standard OTEL_* variables name an exporter; without it the ids are made and carried all the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.trace import Tracer

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

FRAMEWORKS_OWN: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
"""For FastAPI: its spans hold URLs, in which addresses stand, and the words of exceptions."""


def configure_logs(level: str, role: str) -> None:
    """JSON lines on stderr, from structlog and from the standard library alike."""
    number = logging.getLevelName(level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Role(role),
            _json,
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=max(number, logging.WARNING), force=True)


class _Role:
    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["role"] = self._role
        return event


def _json(_: Any, __: str, event: Any) -> bytes:
    try:
        return msgspec.json.encode(event, enc_hook=str)
    except UnicodeEncodeError:  # half a surrogate pair: file names and answers of servers can hold it
        return json.dumps(event, default=str).encode()


class _ToStructlog(logging.Handler):
    """What libraries log goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that all spans of a trace share."""
    return traceparent[3:35]


def child_of(parent: str | None) -> str:
    """A traceparent of our own: in the caller's trace where it sent a valid one, else a new one."""
    span = os.urandom(8).hex()
    if parent and _TRACEPARENT.fullmatch(parent):
        return f"00-{parent[3:35]}-{span}-{parent[53:55]}"
    return f"00-{os.urandom(16).hex()}-{span}-01"


class Traces:
    """Spans, if an exporter is configured; else only their ids."""

    def __init__(self, role: str, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._tracer = _tracer(role) if _wanted(environment) else None

    @property
    def exporting(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, parent: str | None, kind: str = "internal", **attributes: Any) -> Iterator[str]:
        """A span below `parent`; gives its traceparent. `kind`: internal, server, client, producer or consumer."""
        if self._tracer is None:
            yield child_of(parent)
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        propagator = TraceContextTextMapPropagator()
        context = propagator.extract({"traceparent": parent} if parent else {})
        carrier: dict[str, str] = {}
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=trace.SpanKind[kind.upper()],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            propagator.inject(carrier, trace.set_span_in_context(span))
            try:
                yield carrier["traceparent"]
            except Exception as error:
                # Not its words: what servers answer names the people whom mail is for.
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        """Hand over what has not been exported yet."""
        if self._tracer is not None:
            from opentelemetry import trace

            provider = trace.get_tracer_provider()
            getattr(provider, "shutdown", lambda: None)()


def _wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables name an exporter and nothing switches it off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get(_EXPORTER) == "none":
        return False
    return any(environment.get(name) for name in (_EXPORTER, *_ENDPOINTS))


def _tracer(role: str) -> Tracer:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    exporter = ConsoleSpanExporter() if os.environ.get(_EXPORTER) == "console" else OTLPSpanExporter()
    provider = TracerProvider(
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", f"mailboat-{role}")})
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return trace.get_tracer("mailboat")
