"""What Django documents and tests of its SMTP backend, asked of Django's own and of ours.

Every expectation runs against both, on each Django version, so that none is only believed. Where
ours differs on purpose, the difference and its reason stand in `DIFFERENCES`, and are tested too.
"""

from __future__ import annotations

import gc
import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage as MimeMessage
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend

from django_authmail.smtp import EmailBackend, pools
from example_project.certificates import ServerCertificate
from tests.smtp.ledger_server import (
    ALL,
    NONE,
    PASSWORD,
    USER,
    Fault,
    LedgerServer,
    ledger_server,
)

CLASSES: dict[str, Callable[..., DjangoEmailBackend]] = {
    "django": DjangoEmailBackend,
    "ours": EmailBackend,
}
#: Since 6.0 Django checks the addresses of the envelope itself.
CHECKS_ADDRESSES = django.VERSION >= (6, 0)
#: Since 6.1 backends are made with an alias, and EMAIL_* is deprecated.
HAS_MAILERS = django.VERSION >= (6, 1)


LOSES_A_SOCKET = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning"
)


@dataclass
class Bench:
    """A server, and how to make one of the two backends for it."""

    server: LedgerServer
    name: str
    made: list[DjangoEmailBackend] = field(default_factory=list)
    #: Django's backend loses a socket when the first answer is not a good one.
    loses_a_socket: bool = False

    def backend(self, **options: Any) -> DjangoEmailBackend:
        values: dict[str, Any] = {"host": "localhost", "port": self.server.port, "timeout": 10}
        values |= options
        if HAS_MAILERS or self.name == "ours":
            values.setdefault("alias", "default")
        self.made.append(CLASSES[self.name](**values))
        return self.made[-1]

    def send(self, *messages: EmailMessage, **options: Any) -> int:
        return self.backend(**options).send_messages(list(messages)) or 0

    @property
    def contents(self) -> list[MimeMessage]:
        return [message_from_bytes(m.content, policy=policy.default) for m in self.server.ledger]


@pytest.fixture
def server() -> Iterator[LedgerServer]:
    with ledger_server(extensions=NONE) as running:
        yield running
        pools.close_all()


@pytest.fixture(params=CLASSES)
def bench(request: pytest.FixtureRequest, server: LedgerServer) -> Iterator[Bench]:
    bench = Bench(server, request.param)
    yield bench
    while bench.made:
        # Django's leaves half-open connections to close().
        bench.made.pop().close()
    if bench.loses_a_socket and bench.name == "django":
        gc.collect()


def message(**changes: Any) -> EmailMessage:
    values = {"subject": "s", "body": "b", "from_email": "a@example.org", "to": ["b@example.com"]}
    return EmailMessage(**values | changes)


# -- open and close -------------------------------------------------------------------------------


def test_open_says_whether_it_opened(bench: Bench) -> None:
    backend = bench.backend()
    assert backend.connection is None
    assert backend.open() is True
    assert backend.open() is False
    backend.close()
    assert backend.connection is None
    assert backend.open() is True
    backend.close()


def test_close_without_open_and_twice(bench: Bench) -> None:
    backend = bench.backend()
    backend.close()
    backend.open()
    backend.close()
    backend.close()


def test_close_after_the_server_has_gone(bench: Bench) -> None:
    backend = bench.backend()
    backend.open()
    bench.server.hang_up_on_all()
    backend.close()


def test_is_a_context_manager(bench: Bench) -> None:
    backend = bench.backend()
    with backend as entered:
        assert entered is backend
        assert backend.send_messages([message()]) == 1
        assert backend.send_messages([message()]) == 1
        assert backend.open() is False
    assert backend.connection is None
    assert bench.server.connections == 1


def test_a_closed_backend_can_be_used_again(bench: Bench) -> None:
    backend = bench.backend()
    assert backend.send_messages([message()]) == 1
    assert backend.connection is None
    assert backend.send_messages([message()]) == 1


def test_a_failed_open_can_be_followed_by_a_good_one(bench: Bench) -> None:
    backend = bench.backend()
    bench.server.set(Fault(step="CONNECT", reply="554 5.3.2 no"))
    with pytest.raises(OSError):  # noqa: PT011 - smtplib's classes are all it
        backend.open()
    assert backend.connection is None
    bench.server.set()
    assert backend.open() is True
    backend.close()


def test_send_does_nothing_when_open_failed_silently(bench: Bench) -> None:
    backend = bench.backend(fail_silently=True, port=closed_port())
    assert backend.open() is None
    assert backend.connection is None
    assert backend.send_messages([message()]) == 0


# -- send_messages --------------------------------------------------------------------------------


def test_nothing_to_send(bench: Bench) -> None:
    backend = bench.backend()
    assert backend.send_messages([]) == 0
    assert bench.server.connections == 0


def test_counts_and_takes_any_iterable(bench: Bench) -> None:
    backend = bench.backend()
    assert backend.send_messages([message(), message()]) == 2
    assert backend.send_messages(iter([message(), message()])) == 2  # type: ignore[arg-type] # Django's own tests do
    assert len(bench.server.ledger) == 4


def test_a_message_without_recipients_is_not_counted(bench: Bench) -> None:
    assert bench.send(message(to=[])) == 0
    assert bench.send(message(to=[]), message()) == 1
    assert len(bench.server.ledger) == 1


def test_one_connection_for_all(bench: Bench) -> None:
    assert bench.send(*(message() for _ in range(7))) == 7
    assert bench.server.connections == 1


def test_fail_silently_counts_what_was_sent(bench: Bench) -> None:
    bench.server.refuse = {"no@example.com": "550 5.1.1 no"}
    messages = [message(), message(to=["no@example.com"]), message()]
    assert bench.send(*messages, fail_silently=True) == 2
    assert len(bench.server.ledger) == 2


def test_a_partly_refused_message_is_sent(bench: Bench) -> None:
    bench.server.refuse = {"no@example.com": "550 5.1.1 no"}
    assert bench.send(message(to=["no@example.com", "b@example.com"])) == 1
    assert bench.server.ledger[0].recipients == ("b@example.com",)


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("RCPT", "550 5.1.1 no", smtplib.SMTPRecipientsRefused),
        ("CONTENT", "554 5.7.1 spam", smtplib.SMTPDataError),
        ("DATA", "451 4.3.0 later", smtplib.SMTPDataError),
        ("MAIL", "553 5.1.8 who?", smtplib.SMTPResponseException),
    ],
)
def test_refusals_are_smtplib_s_exceptions(
    bench: Bench, step: str, reply: str, expected: type[Exception]
) -> None:
    bench.server.set(Fault(step=step, reply=reply))
    with pytest.raises(expected) as caught:
        bench.send(message())
    code = int(reply[:3])
    if isinstance(caught.value, smtplib.SMTPRecipientsRefused):
        assert caught.value.recipients["b@example.com"][0] == code
    else:
        assert isinstance(caught.value, smtplib.SMTPResponseException)
        assert caught.value.smtp_code == code
    bench.server.set()
    assert bench.send(message()) == 1


def test_one_backend_serves_many_threads(bench: Bench) -> None:
    """Django holds a lock for it; `mail_admins` from threads that share a backend relies on it."""
    backend = bench.backend()
    with backend, ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda _: backend.send_messages([message(), message()]), range(40)))
    assert sent == [2] * 40
    assert len(bench.server.ledger) == 80
    assert bench.server.violations == []


# -- addresses ------------------------------------------------------------------------------------


def test_domains_beyond_ascii_go_as_a_labels(bench: Bench) -> None:
    bench.send(
        message(
            from_email="lists@discussão.example.org",
            to=["받는 사람 <to@漢字.example.com>"],
            bcc=["monitor@discussão.example.org"],
        )
    )
    [taken] = bench.server.ledger
    assert taken.sender == "lists@xn--discusso-xza.example.org"
    assert taken.recipients == (
        "to@xn--p8s937b.example.com",
        "monitor@xn--discusso-xza.example.org",
    )


def test_a_labels_are_kept_as_they_are(bench: Bench) -> None:
    """IDNA 2008 has names that IDNA 2003 would change: who encoded them meant it."""
    addresses = ["t@xn--10cl1a0b660p.example.com", "c@xn--nxasmm1c.example.com"]
    bench.send(message(from_email="f@xn--fa-hia.example.com", to=addresses))
    [taken] = bench.server.ledger
    assert taken.sender == "f@xn--fa-hia.example.com"
    assert list(taken.recipients) == addresses


@pytest.mark.parametrize("address", ["root@localhost", "webmaster@localhost", "a+b@example.com"])
def test_django_s_own_defaults_are_addresses(bench: Bench, address: str) -> None:
    assert bench.send(message(from_email=address, to=[address])) == 1
    assert bench.server.ledger[0].recipients == (address,)


@pytest.mark.parametrize(
    "address", ['"Hong, Gil-dong" <hong@example.com>', "홍길동 <hong@example.com>"]
)
def test_a_comma_in_a_name_is_no_second_address(bench: Bench, address: str) -> None:
    bench.send(message(to=[address]))
    assert bench.server.ledger[0].recipients == ("hong@example.com",)
    [to] = bench.contents[0]["To"].addresses
    assert to.addr_spec == "hong@example.com"


@pytest.mark.parametrize(
    "address",
    [
        "to@other.com@example.com",
        "to@other.com <to@example.com>",
        "to@example.com, other@example.com",
        "@",
        "@example.com",
        '"evil@example.com\r\nto"@example.com',
        "to\nevil@example.com",
        "to@example.com\r\nDATA",
        "to@example.com> SIZE=1",
        "nø@example.dk",
    ],
)
@pytest.mark.parametrize("place", ["bcc", "from_email"])
# Django before 6.0 hands some of them to the server.
@pytest.mark.parametrize(
    "bench", ["django", "ours"] if CHECKS_ADDRESSES else ["ours"], indirect=True
)
def test_what_is_no_address_reaches_no_server(bench: Bench, address: str, place: str) -> None:
    # Bcc is not in the headers, so that it is the backend that has to see it.
    given: Any = [address] if place == "bcc" else address
    headers = {"From": "a@example.org"}
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own text
        bench.send(message(headers=headers, **{place: given}))
    assert bench.server.ledger == []
    assert not {"RCPT", "DATA", "BDAT"} & set(bench.server.verbs())


@pytest.mark.parametrize("bench", ["ours"], indirect=True)
def test_an_address_without_a_domain_reaches_no_server(bench: Bench) -> None:
    # Django 6.0 sees no mistake in it, and on Python 3.12 the parser that it uses fails.
    with pytest.raises(ValueError, match="name@domain"):
        bench.send(message(bcc=["to@"]))
    assert bench.server.ledger == []


def test_a_line_break_in_the_subject_reaches_no_server(bench: Bench) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each Django version has its own text
        bench.send(message(subject="s\nBcc: x@example.com"))
    assert bench.server.ledger == []


# -- what arrives ---------------------------------------------------------------------------------


def test_headers_are_there_and_bcc_is_not(bench: Bench) -> None:
    bench.send(
        message(
            from_email="bounces@example.org",
            to=["list@example.com"],
            cc=["c@example.com"],
            bcc=["secret@example.com"],
            reply_to=["r@example.com"],
            headers={"From": "팀 <team@example.org>", "X-Own": "값"},
        )
    )
    [taken], [mail] = bench.server.ledger, bench.contents
    assert taken.sender == "bounces@example.org"
    assert taken.recipients == ("list@example.com", "c@example.com", "secret@example.com")
    assert b"secret@example.com" not in taken.content
    assert mail["From"] == "팀 <team@example.org>"
    assert (mail["Cc"], mail["Reply-To"], mail["X-Own"]) == ("c@example.com", "r@example.com", "값")
    assert mail["Date"].datetime is not None
    assert str(mail["Message-ID"]).startswith("<")


def test_given_headers_win(bench: Bench) -> None:
    date = "Fri, 09 Nov 2001 01:08:47 +0000"
    bench.send(message(headers={"Date": date, "Message-ID": "<own@example.org>"}))
    assert bench.contents[0]["Message-ID"] == "<own@example.org>"
    assert bench.contents[0]["Date"].datetime.year == 2001


@pytest.mark.parametrize("extensions", [NONE, ALL], ids=["bare", "all extensions"])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "plain",
        "안녕하세요 482901\n",
        "lines\nof\r\nall\nkinds\n",
        ".\n..dots\n.\n",
        "x" * 3000 + "\n한글" * 900,
        "trailing spaces   \n\n\n",
    ],
)
def test_a_body_arrives_as_written(bench: Bench, body: str, extensions: tuple[str, ...]) -> None:
    bench.server.extensions = extensions
    bench.send(message(body=body))
    content = bench.server.ledger[0].content
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    arrived = str(bench.contents[0].get_content()).replace("\r\n", "\n")
    assert arrived.rstrip("\n") == body.replace("\r\n", "\n").rstrip("\n")
    assert bench.server.violations == []


def test_octets_beyond_ascii_are_announced_where_the_server_can(bench: Bench) -> None:
    bench.server.extensions = ALL
    email = message(body="한글 본문\n")
    bench.send(email)
    [mail] = [line for _, line in bench.server.commands if line.upper().startswith("MAIL")]
    if bench.name == "ours":
        assert ("BODY=8BITMIME" in mail) == (not bench.server.ledger[0].content.isascii())


def test_attachments_and_alternatives(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "한글 파일.bin"
    file.write_bytes(bytes(range(256)))
    rich = EmailMultiAlternatives("s", "text", "a@example.org", ["b@example.com"])
    rich.attach_alternative("<p>html</p>", "text/html")
    rich.attach("영수증.txt", "내용\n", "text/plain")
    rich.attach_file(str(file))
    assert bench.send(rich) == 1
    [mail] = bench.contents
    attachments = {str(a.get_filename()): a.get_content() for a in mail.iter_attachments()}
    assert attachments["영수증.txt"].strip() == "내용"
    assert attachments["한글 파일.bin"] == bytes(range(256))
    html = mail.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>html</p>"


def test_both_send_the_same_mail(server: LedgerServer) -> None:
    mails = []
    for name in CLASSES:
        email = message(
            subject="제목 " * 30,
            body="본문\n" * 50,
            to=["홍길동 <b@example.com>"],
            headers={"Message-ID": "<x@example.org>", "Date": "Fri, 09 Nov 2001 01:08:47 +0000"},
        )
        Bench(server, name).send(email)
        mails.append(server.ledger.pop())
    first, second = (message_from_bytes(mail.content, policy=policy.default) for mail in mails)
    assert sorted(first.items()) == sorted(second.items())
    assert first.get_content() == second.get_content()
    assert mails[0].recipients == mails[1].recipients


# -- options --------------------------------------------------------------------------------------


def test_options_are_kept_under_their_names(bench: Bench) -> None:
    options: dict[str, Any] = {
        "host": "mail.example.org",
        "port": 2525,
        "username": "u@example.org",
        "password": "p",
        "use_tls": True,
        "timeout": 42,
        "fail_silently": True,
    }
    backend = bench.backend(**options)
    for name, value in options.items():
        assert getattr(backend, name) == value
    assert backend.use_ssl is False
    assert backend.ssl_certfile is None
    assert backend.ssl_keyfile is None


def test_tls_from_the_start_and_starttls_exclude_each_other(bench: Bench) -> None:
    with pytest.raises(Exception, match=r"exclusive|incompatible"):
        bench.backend(use_tls=True, use_ssl=True)


def test_a_subclass_may_set_a_default(bench: Bench) -> None:
    base: Any = CLASSES[bench.name]

    class Patient(base):  # type: ignore[misc] # one of two classes
        def __init__(self, *args: Any, **options: Any) -> None:
            options["timeout"] = 42
            super().__init__(*args, **options)

    backend = Patient(
        host="localhost",
        port=bench.server.port,
        **({"alias": "default"} if HAS_MAILERS else {}),
    )
    assert backend.timeout == 42
    assert backend.send_messages([message()]) == 1


# EMAIL_* is deprecated where there is MAILERS.
def _email_settings_count_and_options_win(bench: Bench, settings: Any) -> None:
    settings.EMAIL_HOST = "settings.example.org"
    settings.EMAIL_PORT = 2526
    settings.EMAIL_HOST_USER = "setting@example.org"
    settings.EMAIL_HOST_PASSWORD = "setting"
    settings.EMAIL_USE_TLS = True
    settings.EMAIL_TIMEOUT = 7
    settings.EMAIL_SSL_CERTFILE = settings.EMAIL_SSL_KEYFILE = None
    made = CLASSES[bench.name]()
    assert (made.host, made.port) == ("settings.example.org", 2526)
    assert (made.username, made.password) == ("setting@example.org", "setting")
    assert (made.use_tls, made.timeout) == (True, 7)
    other = bench.backend(username="", password="", use_tls=False, timeout=9)
    assert (other.username, other.password, other.use_tls, other.timeout) == ("", "", False, 9)


@pytest.mark.parametrize(
    ("options", "port"), [({}, 25), ({"use_tls": True}, 587), ({"use_ssl": True}, 465)]
)
def _the_port_follows_the_kind_of_tls(bench: Bench, options: dict[str, Any], port: int) -> None:
    assert bench.backend(port=None, **options).port == port


if HAS_MAILERS:
    test_the_port_follows_the_kind_of_tls = _the_port_follows_the_kind_of_tls
else:
    test_email_settings_count_and_options_win = _email_settings_count_and_options_win


@LOSES_A_SOCKET
def test_the_timeout_is_kept(bench: Bench) -> None:
    bench.loses_a_socket = True
    bench.server.set(Fault(step="CONNECT", stall=True))
    started = time.monotonic()
    with pytest.raises(OSError, match=r"timeout|timed out"):
        bench.backend(timeout=0.3).open()
    assert time.monotonic() - started < 9  # without it, ten seconds


def test_starttls_is_mandatory_when_asked_for(bench: Bench) -> None:
    with pytest.raises(smtplib.SMTPNotSupportedError):
        bench.send(message(), use_tls=True)
    assert "MAIL" not in bench.server.verbs()


def test_a_login_that_is_asked_for_is_tried(bench: Bench) -> None:
    own = {"allow_cleartext_auth": True} if bench.name == "ours" else {}
    with pytest.raises(smtplib.SMTPException):
        bench.send(message(), username=USER, password=PASSWORD, **own)
    assert "MAIL" not in bench.server.verbs()


def test_a_refused_login(bench: Bench) -> None:
    own = {"allow_cleartext_auth": True} if bench.name == "ours" else {}
    bench.server.auth = True
    bench.server.set(Fault(step="AUTH", reply="535 5.7.8 no", times=None))
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        bench.send(message(), username=USER, password=PASSWORD, **own)
    assert caught.value.smtp_code == 535
    assert bench.send(message(), username=USER, password=PASSWORD, fail_silently=True, **own) == 0


# -- what is different, and why -------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def outcome(action: Callable[[], object]) -> object:
    """What an action returns, or the name of the best-known class of what it raises."""
    try:
        return action()
    except Exception as error:
        known = ("ValueError", "ConnectionRefusedError", "SSLError", "ImproperlyConfigured")
        names = [cls.__name__ for cls in type(error).__mro__]
        smtp = [name for name in names if name.startswith("SMTP")]
        return next((name for name in [*known, *smtp] if name in names), names[0])


def refused_in_the_middle(bench: Bench) -> object:
    bench.server.refuse = {"no@example.com": "550 5.1.1 no"}
    outcome(lambda: bench.send(message(), message(to=["no@example.com"]), message()))
    return len(bench.server.ledger)


def no_recipients_no_connection(bench: Bench) -> object:
    bench.send(message(to=[]))
    return bench.server.connections


def sends_after_the_server_hung_up(bench: Bench) -> object:
    backend = bench.backend()
    backend.open()
    bench.server.hang_up_on_all()
    return outcome(lambda: backend.send_messages([message()]))


def two_sends(bench: Bench) -> object:
    bench.send(message())
    bench.send(message())
    return bench.server.connections


def same_recipient_twice(bench: Bench) -> object:
    bench.send(message(to=["b@example.com"], cc=["B <b@example.com>"]))
    return len(bench.server.ledger[0].recipients)


def waits_without_timeout(bench: Bench) -> object:
    backend = bench.backend(timeout=None)
    return getattr(backend, "config", backend).timeout


def constructs(bench: Bench, **options: Any) -> object:
    def construct() -> str:
        bench.backend(**options)
        return "constructed"

    return outcome(construct)


def is_connected_when_open(bench: Bench) -> object:
    with bench.backend() as backend:
        return backend.connection is not None


def client_certificate(bench: Bench, certificate: ServerCertificate) -> object:
    backend: Any = bench.backend(
        ssl_certfile=str(certificate.certificate_file), ssl_keyfile=str(certificate.key_file)
    )
    if bench.name == "django":
        return bool(backend.ssl_context.get_ca_certs())
    from django_authmail.smtp.wire import ssl_context

    config = backend.config
    own = ssl_context(
        str(certificate.ca_file), config.certfile, config.keyfile, config.min_tls, config.ciphers
    )
    return bool(own.get_ca_certs())


@dataclass(frozen=True)
class Difference:
    probe: Callable[[Bench], object]
    django: object
    ours: object
    reason: str


DIFFERENCES = [
    Difference(
        refused_in_the_middle,
        1,
        2,
        "A refused message does not stop those after it; the first failure is raised at the end.",
    ),
    Difference(
        no_recipients_no_connection, 1, 0, "There is nothing to send, so nothing is connected to."
    ),
    Difference(
        sends_after_the_server_hung_up,
        "SMTPServerDisconnected",
        1,
        "A connection that has ended is seen before anything is written, and replaced.",
    ),
    Difference(
        is_connected_when_open,
        True,
        False,
        "`connection` stays None: connections belong to the pool, and are not smtplib's.",
    ),
    Difference(two_sends, 2, 1, "Connections stay warm in the pool of the process."),
    Difference(
        same_recipient_twice, 2, 1, "One person gets one copy: some servers deliver each RCPT."
    ),
    Difference(
        waits_without_timeout, None, 10.0, "Django's default is to wait for ever; ours is 10 s."
    ),
    Difference(
        lambda bench: outcome(lambda: bench.backend(port=closed_port()).open()),
        "ConnectionRefusedError",
        "SMTPServerDisconnected",
        "One class for whatever keeps a server from being reached; both are OSError.",
    ),
    Difference(
        lambda bench: outcome(lambda: bench.backend(use_ssl=True).open()),
        "SSLError",
        "SMTPNotSupportedError",
        "TLS that cannot be begun is one class, whatever the reason; both are OSError.",
    ),
    Difference(
        lambda bench: outcome(lambda: bench.send(message(), username=USER, password="")),
        1,
        "ImproperlyConfigured",
        "Half a login is a mistake in the settings; Django goes on without it.",
    ),
    Difference(
        lambda bench: constructs(bench, username=USER, password=PASSWORD),
        "constructed",
        "ImproperlyConfigured",
        "A password in clear text has to be allowed by name.",
    ),
    Difference(
        lambda bench: outcome(lambda: bench.send(message(from_email="webmaster"))),
        1,
        "ValueError",
        "A sender without a domain is refused by most servers, and its bounces are lost.",
    ),
    Difference(
        lambda bench: outcome(lambda: bench.send(message(to=['"a b"@example.com']))),
        1,
        "ValueError",
        "Quoted local parts are how addresses are smuggled past checks, and nobody has one.",
    ),
    Difference(
        lambda bench: outcome(lambda: bench.send(message(to=["a@[127.0.0.1]"]))),
        1,
        "ValueError",
        "An address literal names a host on the way, not a person.",
    ),
    Difference(
        lambda bench: constructs(bench, hots="x"),
        "ImproperlyConfigured" if HAS_MAILERS else "constructed",
        "ImproperlyConfigured",
        "A misspelt option is an error on each version; Django before 6.1 ignores it.",
    ),
]


@LOSES_A_SOCKET
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: d.reason.partition(";")[0])
def test_deliberate_differences(bench: Bench, difference: Difference) -> None:
    bench.loses_a_socket = difference.django == "SSLError"
    expected = difference.django if bench.name == "django" else difference.ours
    assert difference.probe(bench) == expected


def test_a_client_certificate_does_not_cost_the_authorities(
    bench: Bench, certificate: ServerCertificate
) -> None:
    """Django's context for a client certificate has no authorities, so it can verify nobody."""
    assert client_certificate(bench, certificate) is (bench.name == "ours")
