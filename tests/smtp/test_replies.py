from __future__ import annotations

import time

import pytest

from django_authmail.outcomes import ErrorCode, Reason, Reply, Retry
from django_authmail.smtp.replies import Stage, classify, parse_reply

# The rows of contract.md, section 6: what the server says, where, and what it means.
ROWS = [
    ("535 5.7.8 Bad credentials", Stage.AUTH, "smtp_auth_failed", "auth_failed", Retry.CARRIER),
    ("535 Bad credentials", Stage.AUTH, "smtp_auth_failed", "auth_failed", Retry.CARRIER),
    ("534 5.7.9 App password", Stage.AUTH, "smtp_auth_failed", "app_password_required", "carrier"),
    ("530 5.7.0 Log in first", Stage.SENDER, "smtp_auth_failed", "auth_required", Retry.CARRIER),
    ("538 5.7.11 Encrypt", Stage.AUTH, "smtp_auth_failed", "auth_required", Retry.CARRIER),
    ("550 5.7.30 Basic is off", Stage.SENDER, "smtp_auth_failed", "basic_auth_disabled", "carrier"),
    ("535 5.7.139 Tenant", Stage.AUTH, "smtp_auth_failed", "basic_auth_disabled", Retry.CARRIER),
    ("454 4.7.0 Try later", Stage.AUTH, "smtp_transient", "auth_temporary", Retry.LATER),
    ("432 4.3.2 Concurrent", Stage.AUTH, "smtp_transient", "auth_temporary", Retry.LATER),
    ("421 4.3.2 Closing", Stage.CONNECT, "smtp_transient", "server_busy", Retry.LATER),
    ("421 4.7.0 Closing", Stage.AUTH, "smtp_transient", "server_busy", Retry.LATER),
    ("451 4.3.0 Queue file", Stage.CONTENT, "smtp_transient", "server_busy", Retry.LATER),
    ("451 4.4.2 Timeout", Stage.CONTENT, "smtp_transient", "server_busy", Retry.LATER),
    ("450 4.7.1 Greylisted", Stage.RECIPIENT, "smtp_transient", "greylisted", Retry.LATER),
    ("451 Greylisting in action", Stage.RECIPIENT, "smtp_transient", "greylisted", Retry.LATER),
    ("450 4.2.1 greylisted", Stage.RECIPIENT, "smtp_transient", "greylisted", Retry.LATER),
    ("451 4.3.0 Graylisting, wait", Stage.RECIPIENT, "smtp_transient", "greylisted", Retry.LATER),
    ("421 4.7.28 Rate", Stage.CONTENT, "smtp_transient", "rate_limited_by_server", Retry.LATER),
    ("450 4.2.1 Rate", Stage.RECIPIENT, "smtp_transient", "rate_limited_by_server", Retry.LATER),
    ("452 4.5.3 Too many", Stage.RECIPIENT, "smtp_transient", "too_many_recipients", "later"),
    ("452 4.2.2 Full", Stage.RECIPIENT, "smtp_transient", "mailbox_full", Retry.LATER),
    ("552 5.2.2 Full", Stage.RECIPIENT, "recipient_refused", "mailbox_full", Retry.NEVER),
    ("550 5.4.5 Daily quota", Stage.CONTENT, "smtp_transient", "quota_exceeded", Retry.LATER),
    ("550 5.1.1 No such user", Stage.RECIPIENT, "recipient_refused", "bad_recipient", "never"),
    ("550 5.1.2 No such host", Stage.RECIPIENT, "recipient_refused", "bad_recipient", "never"),
    ("553 5.1.3 Syntax", Stage.RECIPIENT, "recipient_refused", "bad_recipient", Retry.NEVER),
    ("550 5.1.6 Moved", Stage.RECIPIENT, "recipient_refused", "bad_recipient", Retry.NEVER),
    ("550 5.1.10 Null MX", Stage.RECIPIENT, "recipient_refused", "bad_recipient", Retry.NEVER),
    ("550 5.2.1 Disabled", Stage.RECIPIENT, "recipient_refused", "mailbox_disabled", "never"),
    ("501 5.1.7 Sender", Stage.SENDER, "recipient_refused", "bad_sender", Retry.NEVER),
    ("553 5.1.8 Sender", Stage.SENDER, "recipient_refused", "bad_sender", Retry.NEVER),
    ("552 Too big", Stage.CONTENT, "recipient_refused", "message_too_large", Retry.NEVER),
    ("523 Too big", Stage.CONTENT, "recipient_refused", "message_too_large", Retry.NEVER),
    ("552 5.3.4 Too big", Stage.SENDER, "recipient_refused", "message_too_large", Retry.NEVER),
    ("550 5.2.3 Too big", Stage.CONTENT, "recipient_refused", "message_too_large", Retry.NEVER),
    ("550 5.7.1 Policy", Stage.CONTENT, "recipient_refused", "policy_rejected", Retry.NEVER),
    (
        "550 5.7.20 DKIM",
        Stage.CONTENT,
        "recipient_refused",
        "sender_authentication_failed",
        "never",
    ),
    (
        "550 5.7.26 DMARC",
        Stage.CONTENT,
        "recipient_refused",
        "sender_authentication_failed",
        "never",
    ),
    (
        "550 5.7.27 Null MX",
        Stage.CONTENT,
        "recipient_refused",
        "sender_authentication_failed",
        "never",
    ),
    ("554 5.7.1 Blocked", Stage.CONNECT, "smtp_connection", "connection_refused", Retry.CARRIER),
    ("550 5.1.1 Sender", Stage.SENDER, "recipient_refused", "bad_sender", Retry.NEVER),
    ("550 5.1.1 At the end", Stage.CONTENT, "recipient_refused", "permanent", Retry.NEVER),
    ("550 5.2.1 At the end", Stage.CONTENT, "recipient_refused", "permanent", Retry.NEVER),
    ("450 Later", Stage.RECIPIENT, "smtp_transient", "transient", Retry.LATER),
    ("554 No", Stage.CONTENT, "recipient_refused", "permanent", Retry.NEVER),
    ("250 Ok where 354 was due", Stage.CONTENT, "unknown", "unknown", Retry.NEVER),
]


@pytest.mark.parametrize(("line", "stage", "error_code", "reason", "retry"), ROWS)
def test_says_what_a_reply_means(
    line: str, stage: Stage, error_code: str, reason: str, retry: str
) -> None:
    failure = classify(parse_reply([line.encode()]), stage)
    assert (failure.error_code, failure.reason, failure.retry) == (error_code, reason, retry)
    # A foreign carrier's exception gives the same text unparsed, and must mean the same.
    code, _, text = line.partition(" ")
    assert classify(Reply(code=int(code), text=text), stage) == failure


def test_every_error_code_of_the_server_is_reached() -> None:
    reached = {row[2] for row in ROWS}
    elsewhere = {"crlf_in_header", "smtp_connection", "smtp_timeout", "starttls_unsupported"}
    assert reached | elsewhere == set(ErrorCode)


def test_reads_a_reply_of_several_lines() -> None:
    reply = parse_reply([b"550-5.1.1 The account", b"550-5.1.1 does not", b"550 5.1.1 exist"])
    assert (reply.code, reply.enhanced, reply.text) == (550, "5.1.1", "The account does not exist")


def test_masks_addresses_in_what_a_server_says() -> None:
    reply = parse_reply([b"550 5.1.1 <hong.gildong@example.com>: unknown user"])
    assert reply.text == "<h***@example.com>: unknown user"


def test_cuts_a_long_text_and_drops_control_characters() -> None:
    reply = parse_reply([b"550 " + b"a\x1b[31m\x00" * 1000])
    assert len(reply.text) == 500
    assert reply.text.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        "250 2.0.0 Ok: queued as 4bXYZ",
        "250 2.0.0",
        "250 Ok",
        "250 ",
        "250",
        "235 2.7.0 Accepted",
        "220 mail.example.com ESMTP",
        "250 2.1.5 Ok  two  spaces",
        "250 5.1.1 odd",
        "250 2.0.0 kept for hong@example.com",
        "250 2.0.0 " + "x" * 700,
    ],
)
def test_the_short_cut_for_usual_replies_says_the_same(line: str) -> None:
    # Said over two lines, a reply takes the long way.
    code, text = line[:3], line[4:]
    long_way = parse_reply([f"{code}-{text}".encode(), f"{code} ".encode()])
    assert parse_reply([line.encode()]) == long_way


def test_an_enhanced_code_of_another_class_is_not_believed() -> None:
    assert parse_reply([b"250 5.1.1 odd"]).enhanced == ""


@pytest.mark.parametrize(
    "lines", [[b""], [b"hello"], [b"999 x"], [b"250-a", b"550 b"], [b"25"], [b"\xff\xfe\xfd"]]
)
def test_what_is_no_reply_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no SMTP reply"):
        parse_reply(lines)


def test_reasons_are_distinct_words() -> None:
    assert len({str(reason) for reason in Reason}) == len(Reason)


def test_a_hostile_reply_costs_no_more_than_another() -> None:
    started = time.thread_time()
    parse_reply([b"550 " + b"a" * 1_000_000])
    parse_reply([b"550-" + b"a@" * 500_000, b"550 end"])
    # Quadratic, it would be minutes, and no other thread would run meanwhile.
    assert time.thread_time() - started < 5
