"""Where the demo's mails and webhooks go: the two sinks, and what they kept."""

from __future__ import annotations

import json
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from example_project import sink, webhook_sink
from example_project.demo.processes import Process, Processes
from example_project.sink import SinkAddress
from example_project.webhook_sink import Webhook, WebhookSinkAddress


class Receivers:
    """Both sinks. Each is a process, which writes into the run folder."""

    def __init__(self, folder: Path, processes: Processes, *, start_seconds: float) -> None:
        self._folder = folder
        self._processes = processes
        self._start_seconds = start_seconds
        # Together: the one is ready while the other is waited for.
        self.smtp = self._start("sink", "example_project.sink")
        self.http = self._start("webhook-sink", "example_project.webhook_sink")

    def _start(self, name: str, module: str) -> Process:
        return self._processes.start(name, module, "--dir", str(self._folder))

    def smtp_address(self) -> SinkAddress:
        """Wait until the mail server listens."""
        return SinkAddress(**self._ready(sink.READY_FILE, self.smtp))

    def webhook_address(self) -> WebhookSinkAddress:
        """Wait until the receiver of webhooks listens."""
        return WebhookSinkAddress(**self._ready(webhook_sink.READY_FILE, self.http))

    def _ready(self, name: str, process: Process) -> dict[str, Any]:
        path = self._folder / name

        def address() -> dict[str, Any] | None:
            return dict(json.loads(path.read_bytes())) if path.exists() else None

        return self._processes.wait_for(
            address,
            what=f"address of the {process.name}",
            seconds=self._start_seconds,
            blame=process,
        )

    def find_mail(self, message_id: str) -> tuple[EmailMessage, str] | None:
        """Return a mail and its file's name."""
        for path in (self._folder / sink.MAILS_FOLDER).glob("*.eml"):
            mail = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
            if mail["Message-ID"] == message_id:
                return mail, path.name
        return None

    def find_webhook(self, message_id: str) -> Webhook | None:
        """Return the webhook about a mail."""
        for path in (self._folder / webhook_sink.WEBHOOKS_FOLDER).glob("*.json"):
            webhook = Webhook(**json.loads(path.read_bytes()))
            if json.loads(webhook.body)["message_id"] == message_id:
                return webhook
        return None
