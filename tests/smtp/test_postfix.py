"""Against a real server: Postfix with Dovecot's login."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.mail import EmailMultiAlternatives

from django_authmail.message import Envelope
from django_authmail.outcomes import Retry, SendResult
from django_authmail.smtp import EmailBackend, SmtpConfig, SmtpSender, pools
from tests.smtp import postfix as servers
from tests.smtp.postfix import Postfix


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with servers.running() as server:
        yield server
        pools.close_all()


@pytest.fixture(params=["starttls", "starttls, no chunking", "implicit tls"])
def sender(request: pytest.FixtureRequest, postfix: Postfix) -> Iterator[SmtpSender]:
    implicit_tls, chunking = request.param == "implicit tls", "chunking" not in request.param
    options = postfix.options(implicit_tls=implicit_tls, chunking=chunking)
    yield SmtpSender(SmtpConfig(**options))
    pools.close_all()


def send(sender: SmtpSender, *to: str, body: str = "본문 482901") -> SendResult:
    return sender.send(list(to or ["b@example.com"]), "로그인 코드", f"<p>{body}</p>")


def test_a_korean_mail_arrives_readable(sender: SmtpSender, postfix: Postfix) -> None:
    result = send(sender)
    assert result, result
    assert "queued as" in result.provider_id
    mail = postfix.mail(result.message_id)
    assert mail["Subject"] == "로그인 코드"
    assert mail["Delivered-To"] == "b@example.com"
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "<p>본문 482901</p>" in html.get_content()
    assert text.get_content().strip() == "본문 482901"
    # What Postfix saw of the way: TLS and a login.
    assert "ESMTPSA" in str(mail["Received"])


@pytest.mark.parametrize("implicit_tls", [False, True])
def test_a_wrong_password(postfix: Postfix, implicit_tls: bool) -> None:
    options = postfix.options(implicit_tls=implicit_tls, password="wrong")
    result = send(SmtpSender(SmtpConfig(**options)))
    assert (result.error_code, result.reason) == ("smtp_auth_failed", "auth_failed")
    assert result.failure is not None
    assert result.failure.retry is Retry.CARRIER
    assert result.failure.reply is not None
    assert result.failure.reply.code == 535


def test_a_certificate_that_nobody_vouches_for(postfix: Postfix) -> None:
    result = send(SmtpSender(SmtpConfig(**postfix.options(ca_file=""))))
    assert result.reason == "certificate_invalid"


def test_without_login_nobody_may_send(postfix: Postfix) -> None:
    result = send(SmtpSender(SmtpConfig(**postfix.options(user="", password=""))))
    assert not result
    assert not result.unknown
    assert result.error_code == "recipient_refused"


def test_without_tls_nobody_may_send(postfix: Postfix) -> None:
    result = send(SmtpSender(SmtpConfig(**postfix.options(user="", password="", use_tls=False))))
    assert (result.error_code, result.reason) == ("smtp_auth_failed", "auth_required")


@pytest.mark.parametrize(
    ("to", "code", "reason", "retry"),
    [
        (servers.REFUSED, 550, "bad_recipient", Retry.NEVER),
        (servers.DEFERRED, 450, "rate_limited_by_server", Retry.LATER),
        ("someone@example.net", 550, "bad_recipient", Retry.NEVER),
    ],
)
def test_refused_recipients(
    sender: SmtpSender, to: str, code: int, reason: str, retry: Retry, postfix: Postfix
) -> None:
    result = send(sender, to)
    assert not result
    [refusal] = result.refused
    assert (refusal.failure.reason, refusal.failure.retry) == (reason, retry)
    assert refusal.failure.reply is not None
    assert refusal.failure.reply.code == code
    # The connection is good for the next one.
    after = send(sender)
    assert after
    postfix.mail(after.message_id)


def test_a_refused_recipient_leaves_the_rest_alone(sender: SmtpSender, postfix: Postfix) -> None:
    result = send(sender, servers.REFUSED, "one@example.com", servers.DEFERRED)
    assert result.accepted == ("one@example.com",)
    assert [r.address for r in result.refused] == [servers.REFUSED, servers.DEFERRED]
    assert postfix.mail(result.message_id)["Delivered-To"] == "one@example.com"


def test_bursts_of_bad_recipients_hold_nobody_up(sender: SmtpSender, postfix: Postfix) -> None:
    """Postfix waits before each answer to who made five errors on one connection."""
    for number in range(12):
        assert not send(sender, servers.REFUSED)
        if number % 4 == 3:
            result = send(sender)
            assert result
            assert result.duration_seconds < 15


def test_a_mail_over_the_size_limit(sender: SmtpSender, postfix: Postfix) -> None:
    envelope = Envelope(sender="a@example.org", recipients=("b@example.com",))
    content = b"Message-ID: <large@example.org>\r\n\r\n" + (b"z" * 998 + b"\r\n") * 1100
    result = sender.deliver(envelope, content, "<large@example.org>")
    assert (result.error_code, result.reason) == ("recipient_refused", "message_too_large")
    assert send(sender)


def test_a_megabyte_below_the_limit_arrives(sender: SmtpSender, postfix: Postfix) -> None:
    envelope = Envelope(sender="a@example.org", recipients=("b@example.com",))
    message_id = f"<{next(_numbers)}.megabyte@example.org>"
    content = f"Message-ID: {message_id}\r\n\r\n".encode() + (b"." * 998 + b"\r\n") * 1000
    assert sender.deliver(envelope, content, message_id)
    assert str(postfix.mail(message_id).get_payload()).count(".") == 998_000


def test_dots_and_line_ends_survive(sender: SmtpSender, postfix: Postfix) -> None:
    envelope = Envelope(sender="a@example.org", recipients=("b@example.com",))
    message_id = f"<{next(_numbers)}.dots@example.org>"
    body = ".\n..\n.\r\n\r\n.x\r.\nend"
    assert sender.deliver(envelope, f"Message-ID: {message_id}\n\n{body}".encode(), message_id)
    assert postfix.mail(message_id).get_payload() == ".\n..\n.\n\n.x\n.\nend\n"


def test_200_mails_over_one_warm_connection(sender: SmtpSender, postfix: Postfix) -> None:
    results = [send(sender, body=f"{number:06}") for number in range(200)]
    assert all(results)
    found = postfix.mails([result.message_id for result in results])
    assert len(found) == 200
    # 90 mails a connection, then a fresh one.
    assert postfix.sessions({result.provider_id.split()[-1] for result in results}) <= 3


def test_eight_threads(sender: SmtpSender, postfix: Postfix) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: send(sender, body=f"{n:06}"), range(80)))
    assert all(results)
    postfix.mails([result.message_id for result in results])


def test_through_django_s_api(postfix: Postfix) -> None:
    options = postfix.options()
    options["username"] = options.pop("user")
    del options["from_addr"]
    mails = [
        EmailMultiAlternatives("제목", "본문", "팀 <a@example.org>", ["홍길동 <b@example.com>"])
        for _ in range(5)
    ]
    for mail in mails:
        mail.attach_alternative("<p>본문</p>", "text/html")
        mail.attach("영수증.txt", "내용", "text/plain")
    assert EmailBackend(alias="default", **options).send_messages(mails) == 5
    ids = [vars(mail)["authmail_result"].message_id for mail in mails]
    for found in postfix.mails(ids).values():
        assert found["From"] == "팀 <a@example.org>"
        [attachment] = found.iter_attachments()
        assert attachment.get_filename() == "영수증.txt"


def test_a_restart_of_the_server_loses_nothing(postfix: Postfix) -> None:
    """`postfix reload` ends idle sessions; the next mail goes over a new one."""
    sender = SmtpSender(SmtpConfig(**postfix.options()))
    ids = []
    for _ in range(3):
        result = send(sender)
        assert result, result
        ids.append(result.message_id)
        assert servers.run("postfix", "-c", str(postfix.folder / "conf"), "reload") == 0
    postfix.mails(ids)
    pools.close_all()


_numbers = itertools.count(1)
