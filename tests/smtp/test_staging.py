from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.core.mail import send_mail

from django_authmail import OTPNotifier, dispatch
from django_authmail.smtp import SmtpSender
from tests import smtp_server as servers
from tests.outbox.factories import auth_message
from tests.smtp.test_sender import config_for

TEAM = ["qa@example.com", "dev@example.com"]


@pytest.fixture(autouse=True)
def _staging(settings: Any) -> None:
    settings.AUTHMAIL_OVERRIDE_RECIPIENTS = TEAM


def test_plain_mail_goes_to_the_team_and_names_who_it_was_for(
    smtp_server: servers.SmtpServer,
) -> None:
    send_mail("s", "b", "a@example.org", ["hong@example.com", "kim@example.com"])
    [received] = smtp_server.mails
    assert received.recipients == TEAM
    original = received.mail["X-Authmail-Original-To"]
    assert original.replace("\r\n", "") == "hong@example.com, kim@example.com"
    assert received.mail["To"] == "hong@example.com, kim@example.com"


def test_a_notifier_s_mail_does_too(smtp_server: servers.SmtpServer) -> None:
    assert OTPNotifier().send("hong@example.com", user_name="", code="482901")
    assert smtp_server.mails[0].recipients == TEAM


@pytest.mark.django_db(transaction=True)
def test_queued_mail_does_too_and_is_recorded_as_in_production(
    smtp_server: servers.SmtpServer,
) -> None:
    row = dispatch.send_now(auth_message(bcc=("hidden@example.com",)))
    assert smtp_server.mails[0].recipients == TEAM
    assert row.state == "accepted"
    assert [r.masked for r in row.recipients.all()] == ["h***@example.com", "h***@example.com"]


@pytest.mark.django_db(transaction=True)
def test_one_refused_team_address_does_not_fail_the_mail(smtp_server: servers.SmtpServer) -> None:
    smtp_server.refuse["qa@example.com"] = "550 5.1.1 no such user"
    assert dispatch.send_now(auth_message()).state == "accepted"


@pytest.mark.django_db(transaction=True)
def test_django_s_own_backends_as_carriers_do_too() -> None:
    dispatch.send_now(auth_message())
    [sent] = mail.outbox
    assert sent.recipients() == TEAM


def test_a_notifier_over_another_s_backend_does_too() -> None:
    # Django's runner has put locmem in place of the mailer: a backend that is not ours.
    OTPNotifier().send("hong@example.com", user_name="", code="482901")
    [sent] = mail.outbox
    assert sent.recipients() == TEAM
    assert sent.message()["X-Authmail-Original-To"] == "hong@example.com"


def test_the_core_used_by_itself_in_a_project_does_too(smtp_server: servers.SmtpServer) -> None:
    assert SmtpSender(config_for(smtp_server)).send("hong@example.com", "s", "<p>x</p>")
    assert smtp_server.mails[0].recipients == TEAM
