"""A request's ids, from the request to the row, the task, the SMTP dialogue and the span."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_django.fixtures import Settings

from django_authmail import dispatch, outbox, tasks, tracing
from django_authmail.models import Message
from tests.api.conftest import CODE, TO, Api
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer
from tests.workers import Broker, UseBroker

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
HEADERS = {"X_Request_ID": "call-1", "traceparent": TRACEPARENT}

in_database = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(TRACEPARENT, TRACEPARENT, id="version 00"),
        pytest.param(f"cc{TRACEPARENT[2:]}-more", f"cc{TRACEPARENT[2:]}", id="a later version"),
        pytest.param(f"{TRACEPARENT}-more", "", id="version 00 with more"),
        pytest.param(f"cc{TRACEPARENT[2:]}more", "", id="a later version without a hyphen"),
        pytest.param(f"ff{TRACEPARENT[2:]}", "", id="the version that is none"),
        pytest.param(TRACEPARENT.upper(), "", id="upper case"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01", "", id="no trace"),
        pytest.param(f"00-{TRACE_ID}-{'0' * 16}-01", "", id="no parent"),
        pytest.param(f"{TRACEPARENT}\n", "", id="a line"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_traceparent_is_kept_if_it_is_one(given: str, kept: str) -> None:
    assert tracing.well_formed(given) == kept


@in_database
def test_goes_from_the_request_to_the_row_the_log_and_the_smtp_dialogue(
    api: Api, smtp_server: SmtpServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_SMTP_DEBUG = True
    with caplog.at_level(logging.DEBUG, logger="django_authmail"):
        assert api.post(**HEADERS).status_code == 200
        api.post("/send/otp", {}, **HEADERS)
    row = Message.objects.get()
    assert (row.request_id, row.traceparent) == ("call-1", TRACEPARENT)
    lines = [record.getMessage() for record in caplog.records]
    for event in ("email.accepted", "api.refused"):
        [line] = [line for line in lines if line.startswith(event)]
        assert "request_id=call-1" in line
        assert f"traceparent={TRACEPARENT}" in line
    dialogue = [r.getMessage() for r in caplog.records if r.name.startswith("django_authmail.smtp")]
    said = [line for line in dialogue if line.partition("] ")[2].startswith(("C: ", "S: "))]
    assert f"[call-1 {TRACEPARENT}] C: MAIL FROM:<n***@example.com>" in " ".join(said)
    assert all(line.startswith(f"[call-1 {TRACEPARENT}] ") for line in said)


@in_database
def test_goes_with_the_task_as_headers(
    api: Api, use_broker: UseBroker, filesystem_broker: Broker
) -> None:
    use_broker(*filesystem_broker)
    assert api.post(Prefer="respond-async", **HEADERS).status_code == 202
    tasks._publisher.close()  # it may take longer than a request waits for it
    [file] = filesystem_broker.folder.iterdir()
    payload = json.loads(file.read_text())
    headers = payload["headers"]
    assert (headers["X-Request-ID"], headers["traceparent"]) == ("call-1", TRACEPARENT)
    [args, kwargs, _] = json.loads(base64.b64decode(payload["body"]))
    assert (args, kwargs) == ([str(Message.objects.get().pk)], {})


@in_database
def test_what_is_no_traceparent_is_left_out(api: Api, smtp_server: SmtpServer) -> None:
    api.post(traceparent="00-1-2-3")
    assert Message.objects.get().traceparent == ""


@in_database
def test_a_hand_over_in_the_background_is_a_span_of_the_request_s_trace(
    api: Api, smtp_server: SmtpServer, spans: InMemorySpanExporter
) -> None:
    api.post(Prefer="respond-async", **HEADERS)
    row = dispatch.dispatch_one(Message.objects.get().pk)
    assert row is not None
    assert row.state == "accepted"
    [span] = spans.get_finished_spans()
    assert span.name == "authmail.hand_over"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.attributes == {
        "authmail.id": str(row.pk),
        "authmail.kind": "otp",
        "authmail.carrier": "default",
    }
    for secret in (CODE, TO):
        assert secret not in span.to_json()


@in_database
def test_the_span_of_a_caller_in_the_process_is_the_one_that_counts(
    smtp_server: SmtpServer, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer("project").start_as_current_span("sign-up") as caller:
        row = outbox.submit(auth_message())
    trace_id = f"{caller.get_span_context().trace_id:032x}"
    assert row.traceparent.split("-")[1] == trace_id
    dispatch.dispatch_one(row.pk)
    named = {span.name: span for span in spans.get_finished_spans()}
    parent = named["authmail.hand_over"].parent
    assert parent is not None
    assert parent.span_id == caller.get_span_context().span_id


def test_without_the_library_there_are_no_spans() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from django_authmail import tracing\n"
        f"origin = tracing.Origin('call-1', {TRACEPARENT!r})\n"
        "with tracing.doing(origin), tracing.span('x', origin, a='b'):\n"
        "    print(tracing.traceparent(), tracing.current().request_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [TRACEPARENT, "call-1"]
