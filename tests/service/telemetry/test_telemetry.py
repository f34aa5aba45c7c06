"""One trace from the caller to the provider, across processes and restarts, and nothing exported unasked."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest

from mailboat import telemetry
from mailboat.telemetry import Traces, child_of, trace_id

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{SPAN}-01"
BODY = {"to": "ada@example.com", "subject": "Ahoy", "text": "Hello"}


# --- ids without an exporter


def test_a_child_stays_in_its_callers_trace_with_a_span_of_its_own():
    child = child_of(CALLER)
    assert trace_id(child) == TRACE
    assert child[36:52] not in (SPAN, "0" * 16)
    assert child.endswith("-01")
    assert child_of(CALLER[:-2] + "00").endswith("-00")


@pytest.mark.parametrize(
    "parent",
    [None, "", "nonsense", CALLER.upper(), f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", CALLER + "x",
     CALLER[:-1], f"{CALLER}\r\nX: y"],
)  # fmt: skip
def test_a_parent_that_is_none_begins_a_new_trace(parent):
    child = child_of(parent)
    assert telemetry._TRACEPARENT.fullmatch(child)
    assert trace_id(child) != TRACE


def test_a_parent_of_a_later_version_is_understood():
    assert trace_id(child_of(f"01-{TRACE}-{SPAN}-01-more")) == TRACE


def test_without_an_exporter_spans_are_ids_alone():
    traces = Traces("test", {})
    with traces.span("outer", CALLER, "server", client="x") as outer, traces.span("inner", outer) as inner:
        assert [trace_id(outer), trace_id(inner)] == [TRACE, TRACE]
        assert len({CALLER, outer, inner}) == 3
    assert not traces.exporting
    traces.close()


@pytest.mark.parametrize(
    ("environment", "exporting"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
)
def test_only_the_standard_variables_load_the_sdk(environment, exporting):
    script = (
        "import sys; from mailboat.telemetry import Traces; traces = Traces('test'); "
        "print(traces.exporting, 'opentelemetry.sdk.trace' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(exporting)] * 2


# --- with an exporter


def test_one_trace_goes_from_the_caller_to_the_provider_across_a_restart_of_the_worker(
    collector, settings_of, start_role, free_port, sink, client, until, query
):
    sink.on_body = lambda _: "451 4.3.0 busy"
    settings = settings_of(port=free_port(), smtp_url=sink.url, retry_base_seconds=1.0, retry_cap_seconds=1.0)
    api = start_role("api", settings, **collector.environment)
    first = start_role("worker", settings, **collector.environment)
    answer = httpx.post(f"{api.url}/v1/send", json=BODY, headers=client.headers | {"traceparent": CALLER})
    message_id = answer.json()["id"]
    until(lambda: query("select from queue where attempts = 1 and state = 0"))
    assert first.stop() == 0
    sink.on_body = lambda _: None
    second = start_role("worker", settings, **collector.environment)
    until(lambda: query("select from queue where state = 3"))
    sends = until(lambda: len(found := collector.of(TRACE, "send smtp")) == 2 and found)
    (posted,) = until(lambda: collector.of(TRACE, "POST /v1/send"))
    assert (posted.parent, posted.service, posted.kind) == (SPAN, "mailboat-api", 2)
    assert [(send.parent, send.service, send.kind, send.failed) for send in sends] == [
        (posted.id, "mailboat-worker", 3, True),
        (posted.id, "mailboat-worker", 3, False),
    ]
    assert {send.attributes["message_id"] for send in sends} == {message_id}
    ((stored,),) = query("select traceparent from messages")
    assert stored == f"00-{TRACE}-{posted.id}-01"
    lines = api.lines("accepted") + first.lines("scheduled") + second.lines("sent")
    assert [line["trace_id"] for line in lines] == [TRACE] * 3
    assert [line["message_id"] for line in lines] == [message_id] * 3


def test_spans_that_were_not_exported_yet_are_handed_over_when_a_process_stops(
    collector, settings_of, start_role, free_port, client
):
    late = collector.environment | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
    api = start_role("api", settings_of(port=free_port()), **late)
    assert httpx.post(f"{api.url}/v1/send", json=BODY, headers=client.headers | {"traceparent": CALLER}).is_success
    assert collector.spans == []
    assert api.stop() == 0
    assert len(collector.of(TRACE, "POST /v1/send")) == 1


def test_a_collector_that_is_away_holds_nothing_up(settings_of, start_role, free_port, sink, client, until, query):
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    settings = settings_of(port=free_port(), smtp_url=sink.url)
    api = start_role("api", settings, **away, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    start_role("worker", settings, **away, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert httpx.post(f"{api.url}/v1/send", json=BODY, headers=client.headers).status_code == 202
    until(lambda: query("select from queue where state = 3"))
    assert len(sink.taken) == 1


# --- logs


def test_logs_are_json_lines_with_level_time_and_role_whatever_is_in_them():
    script = """
import logging, structlog
from mailboat.telemetry import configure_logs
configure_logs("info", "tester")
log = structlog.get_logger()
log.debug("not this")
log.info("line\\nbreak", word='"quoted"', octets=b"\\xff", thing=object(), number=7, half="\\ud800")
logging.getLogger("some.library").warning("from %s", "a library")
logging.getLogger("some.library").info("not this either")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""
    said = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, check=True)
    first, second, third = (json.loads(line) for line in said.stderr.splitlines())
    assert (first["event"], first["word"], first["number"]) == ("line\nbreak", '"quoted"', 7)
    assert (second["event"], second["level"], second["logger"]) == ("from a library", "warning", "some.library")
    assert "ZeroDivisionError" in third["exception"]
    assert {line["role"] for line in (first, second, third)} == {"tester"}
    assert all(line["timestamp"].endswith("Z") for line in (first, second, third))
