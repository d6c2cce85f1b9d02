"""What a caller is told of a mail that the database never takes."""

from __future__ import annotations

import pytest
from django.db import connection

from django_authmail.models import IdempotencyRecord, Message
from tests.api.conftest import Api, MakeKey, problem
from tests.outbox.test_large import taking_less

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {
    "to": "hong@example.com",
    "subject": "Receipt",
    "html_body": "<p>Attached.</p>",
    "attachments": [{"filename": "a.txt", "content": "YWFh" * 900_000}],
}
HINTS = {
    "en": "The mail has to be smaller, or whoever runs this service raises max_allowed_packet.",
    "ko": "메일을 더 작게 하거나, 이 서비스를 운영하는 사람이 max_allowed_packet을 늘려야 합니다.",
}

# The others take 1 GB.
if connection.vendor == "mysql":

    @pytest.mark.parametrize("language", HINTS)
    @pytest.mark.parametrize("prefer", ["respond-async", "wait=8"])
    def test_a_caller_whose_mail_is_too_large_is_told_not_to_try_again(
        make_key: MakeKey, caplog: pytest.LogCaptureFixture, prefer: str, language: str
    ) -> None:
        api = Api(key=make_key()[1])
        headers = {"Prefer": prefer, "Idempotency_Key": "a", "Accept_Language": language}
        with taking_less():
            body = problem(api.post("/send", LONG, **headers), 413, "payload_too_large")
        assert body["retryable"] is False
        assert body["hint"] == HINTS[language]
        assert "raise max_allowed_packet" in caplog.text
        assert not Message.objects.exists()
        assert not IdempotencyRecord.objects.exists()
        # It is not remembered: once the server takes it, it is sent.
        headers["Prefer"] = "respond-async"
        assert api.post("/send", LONG, **headers).status_code == 202
