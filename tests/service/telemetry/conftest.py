"""An OTLP receiver, as an installation would have one: real protobuf over a real socket."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span:
    """What a collector was told of a span."""

    def __init__(self, span: Any, resource: Any) -> None:
        self.name, self.kind = span.name, span.kind
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.failed, self.fault = span.status.code == 2, span.status.message
        self.attributes = {one.key: one.value.string_value for one in span.attributes}
        self.events = list(span.events)
        self.service = {one.key: one.value.string_value for one in resource.attributes}["service.name"]


class Collector:
    """An OTLP receiver over HTTP. `raw` is all that came, as octets; `spans` what it means."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.raw = b""
        taken = self._taken

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                taken(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def _taken(self, body: bytes) -> None:
        self.raw += body
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.spans.extend(Span(span, told.resource) for scope in told.scope_spans for span in scope.spans)

    def of(self, trace: str, name: str) -> list[Span]:
        return [span for span in list(self.spans) if (span.trace, span.name) == (trace, name)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()
