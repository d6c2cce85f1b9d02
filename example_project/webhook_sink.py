"""A receiver that keeps webhooks, and says whether they are genuine.

`python -m example_project.webhook_sink --dir FOLDER` listens on a free loopback port, and writes
each webhook to FOLDER/webhooks. FOLDER/webhook_sink.json says where it listens, and by which secret
it verifies, once it does. `--secret` names others, such as that of `manage.py authmail_webhook
create`.

It answers as a receiver should: 204 to what is genuine and fresh, 401 to anything else.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from django_authmail.webhooks import WebhookInvalid, verify, verify_s0
from example_project.files import write_atomically

READY_FILE = "webhook_sink.json"
WEBHOOKS_FOLDER = "webhooks"
#: Far above what a webhook has, which says in a few lines what became of a mail.
MAX_BODY = 1_000_000
SILENCE_SECONDS = 10.0
#: What says that it is genuine, and where it came from; the rest is of every request.
SHOWN_HEADERS = ("webhook-", "x-email-service-", "x-request-id", "traceparent", "user-agent")

logger = logging.getLogger("example_project.webhook_sink")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSinkAddress:
    """Where a sink listens, and the secret to sign with."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One request as it arrived. `standard` and `s0` are "verified", or why not."""

    received_at: float
    path: str
    headers: dict[str, str]
    body: str
    standard: str
    s0: str
    answer: int


def receive(path: str, headers: dict[str, str], body: bytes, known: Sequence[str]) -> Webhook:
    """Return what arrived, verified by each of the two forms, and what to answer."""
    standard = _verdict(partial(verify, body, headers, known))
    # S0's form knows one secret: any of them will do here.
    by_s0 = [_verdict(partial(verify_s0, body, headers, secret)) for secret in known]
    s0 = next((verdict for verdict in by_s0 if verdict == "verified"), by_s0[0])
    return Webhook(
        received_at=time.time(),
        path=path,
        headers={
            name: value
            for name, value in sorted(headers.items())
            if name.lower().startswith(SHOWN_HEADERS)
        },
        body=body.decode("utf-8", "replace"),
        standard=standard,
        s0=s0,
        answer=204 if "verified" in (standard, s0) else 401,
    )


def _verdict(verification: Callable[[], object]) -> str:
    try:
        verification()
    except WebhookInvalid as error:
        return error.reason
    return "verified"


def handler(folder: Path, known: Sequence[str]) -> type[BaseHTTPRequestHandler]:
    """Return a class of handlers that keep what they get in a folder."""
    numbers = count(1)

    class KeepingHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SILENCE_SECONDS

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > MAX_BODY:
                self.send_error(413 if length.isdecimal() else 411)
                self.close_connection = True
                return
            body = self.rfile.read(int(length))
            webhook = receive(self.path, dict(self.headers.items()), body, known)
            name = f"{time.time_ns():020d}-{next(numbers):04d}"
            write_atomically(folder / f"{name}.json", json.dumps(asdict(webhook)).encode())
            logger.info(
                "kept webhook %s: signature %s, %s by S0's form; answered %d",
                *(name, webhook.standard, webhook.s0, webhook.answer),
            )
            self.send_response(webhook.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            # The line above says more.
            pass

    return KeepingHandler


def serve(folder: Path, *, host: str, port: int, known: Sequence[str]) -> None:
    """Listen until SIGTERM or SIGINT."""
    webhooks = folder / WEBHOOKS_FOLDER
    webhooks.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = secrets.token_urlsafe(32)
    server = ThreadingHTTPServer((host, port), handler(webhooks, [*known, own]))
    server.daemon_threads = True
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    address = WebhookSinkAddress(url=f"http://{host}:{server.server_port}/hook", secret=own)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    write_atomically(folder / READY_FILE, json.dumps(asdict(address)).encode())
    logger.info("listening on %s", address.url)
    stop.wait()
    server.shutdown()
    thread.join()
    server.server_close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sink as a process."""
    parser = argparse.ArgumentParser(
        prog="python -m example_project.webhook_sink", description=__doc__
    )
    parser.add_argument("--dir", type=Path, required=True, help="folder to keep webhooks in")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, is a free one")
    parser.add_argument(
        "--secret", action="append", default=[], help="a secret to verify by; may be repeated"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    serve(options.dir.resolve(), host=options.host, port=options.port, known=options.secret)


if __name__ == "__main__":
    main()
