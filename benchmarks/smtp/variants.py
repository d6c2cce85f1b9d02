"""The ways to send a mail that are compared: Django's backend and ours, each by its public door."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from benchmarks.smtp.mail import SENDER, TEMPLATES, auth_mail, django_mail
from benchmarks.smtp.processes import SERVERS, USER, Surroundings
from benchmarks.smtp.server import IMPLICIT, STARTTLS
from django_authmail.mailers import get_mailer
from django_authmail.smtp import EmailBackend

_HOST = "127.0.0.1"
_BACKENDS = {
    "django": "django.core.mail.backends.smtp.EmailBackend",
    "ours": "django_authmail.smtp.EmailBackend",
}

#: Renders and builds the n-th mail, and returns what hands it over.
Prepare = Callable[[int], Callable[[], object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to send one mail."""

    key: str
    title: str
    prepare: Prepare
    #: Mails in a row in each round: more of the quick ones, for a steadier median.
    per_round: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """One way for several threads to send mail; each enters `worker` for itself."""

    key: str
    title: str
    worker: Callable[[], AbstractContextManager[Callable[[int], object]]]


def configure(place: Surroundings, rtts: Sequence[float], threads: int) -> None:
    """Set Django up as a project that has a mailer for each server, RTT and backend."""
    mailers: dict[str, dict[str, Any]] = {}
    for (server, rtt), (name, path) in itertools.product(
        itertools.product(SERVERS, rtts), _BACKENDS.items()
    ):
        options = _options(place, server, STARTTLS, rtt)
        mailers[_alias(name, server, rtt)] = {"BACKEND": path, "OPTIONS": options}
    for rtt in rtts:
        options = _options(place, "chunking", STARTTLS, rtt) | {"pool_size": threads}
        entry = {"BACKEND": _BACKENDS["ours"], "OPTIONS": options}
        mailers[_alias("ours-wide", "chunking", rtt)] = entry
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DEFAULT_FROM_EMAIL=SENDER,
        INSTALLED_APPS=[],
        LANGUAGE_CODE="ko",
        MAILERS=mailers,
        SECRET_KEY=place.password,
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [TEMPLATES],
            }
        ],
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def one_by_one(place: Surroundings, rtt: float) -> Iterator[list[Variant]]:
    """Yield the variants for one mail at a time; connections that they hold are closed after."""
    with ExitStack() as stack:
        held = get_mailer(_alias("django", "chunking", rtt))
        stack.callback(held.close)
        held.open()
        path = stack.enter_context(
            closing(socket.create_connection((_HOST, place.ports["plain", STARTTLS, rtt])))
        )
        path.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _read_line(path)  # the greeting
        yield [
            Variant(
                key="path",
                title="the path alone: NOOP without TLS",
                prepare=lambda number: lambda: _noop(path),
                per_round=3,
            ),
            Variant(
                key="django-new",
                title="Django send(): new connection per mail",
                prepare=_by_send(_alias("django", "chunking", rtt)),
            ),
            Variant(
                key="django-open",
                title="Django: one open connection",
                prepare=lambda number: _call(held.send_messages, [django_mail(number)]),
            ),
            *(
                variant
                for server, meaning in (
                    ("chunking", "PIPELINING + CHUNKING"),
                    ("pipelining", "PIPELINING only"),
                    ("plain", "neither"),
                )
                for variant in (
                    Variant(
                        key=f"ours-send-{server}",
                        title=f"ours send(): {meaning}",
                        prepare=_by_send(_alias("ours", server, rtt)),
                        per_round=1 if server == "plain" else 3,
                    ),
                    Variant(
                        key=f"ours-rendered-{server}",
                        title=f"ours deliver_message(): {meaning}",
                        prepare=_by_deliver_message(_alias("ours", server, rtt)),
                        per_round=1 if server == "plain" else 3,
                    ),
                )
                if server != "plain" or variant.key == "ours-send-plain"
            ),
            Variant(
                key="cold-587",
                title="ours, forced cold: 587, STARTTLS",
                prepare=_cold(place, STARTTLS, rtt),
            ),
            Variant(
                key="cold-465",
                title="ours, forced cold: 465, TLS at once",
                prepare=_cold(place, IMPLICIT, rtt),
            ),
        ]


def in_threads(rtt: float, threads: int) -> list[Crowd]:
    """Return the variants for several threads at once."""
    django_alias, ours = _alias("django", "chunking", rtt), _alias("ours", "chunking", rtt)
    wide = _alias("ours-wide", "chunking", rtt)
    return [
        Crowd(
            key="django-new",
            title="Django send(): new connection per mail",
            worker=lambda: _each(_by_send(django_alias)),
        ),
        Crowd(
            key="django-open",
            title="Django: an open connection for each thread",
            worker=lambda: _with_open_connection(django_alias),
        ),
        Crowd(
            key="ours-send",
            title=f"ours send(): pool_size={threads}",
            worker=lambda: _each(_by_send(wide)),
        ),
        Crowd(
            key="ours-rendered",
            title=f"ours deliver_message(): pool_size={threads}",
            worker=lambda: _each(_by_deliver_message(wide)),
        ),
        Crowd(
            key="ours-rendered-default",
            title="ours deliver_message(): default options",
            worker=lambda: _each(_by_deliver_message(ours)),
        ),
    ]


def _by_send(alias: str) -> Prepare:
    return lambda number: _call(_send, django_mail(number), alias)


def _by_deliver_message(alias: str) -> Prepare:
    def deliver(number: int) -> Callable[[], object]:
        message = auth_mail(number)

        def hand_over() -> None:
            backend = get_mailer(alias)
            assert isinstance(backend, EmailBackend)  # noqa: S101 - MAILERS above says so
            result = backend.deliver_message(message)
            if not result.sent:
                raise RuntimeError(f"a mail was not taken: {result.failure}")

        return hand_over

    return deliver


def _cold(place: Surroundings, security: str, rtt: float) -> Prepare:
    # A connection is kept for its configuration. One that has never been used has none, so a new
    # EHLO name for each mail forces the whole way, whatever is kept warm.
    # Nothing is said on the connections that are left behind, or others would be measured with it.
    options = _options(place, "chunking", security, rtt) | {"max_idle": 600.0}

    def cold(number: int) -> Callable[[], object]:
        message = django_mail(number)

        def hand_over() -> None:
            backend = EmailBackend(
                alias=f"cold-{security}", local_hostname=f"cold-{number}.example.com", **options
            )
            _taken(backend.send_messages([message]))

        return hand_over

    return cold


@contextmanager
def _each(prepare: Prepare) -> Iterator[Callable[[int], object]]:
    yield lambda number: prepare(number)()


@contextmanager
def _with_open_connection(alias: str) -> Iterator[Callable[[int], object]]:
    backend = get_mailer(alias)
    backend.open()
    try:
        yield lambda number: _taken(backend.send_messages([django_mail(number)]))
    finally:
        backend.close()


def _send(message: EmailMultiAlternatives, alias: str) -> None:
    if hasattr(mail, "mailers"):
        _taken(message.send(using=alias))
    else:
        # Before Django 6.1 a message knows one mailer only; this is what its send() does.
        _taken(get_mailer(alias).send_messages([message]))


def _taken(sent: int | None) -> None:
    if sent != 1:
        raise RuntimeError(f"a mail was not taken: send() returned {sent!r}")


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _noop(path: socket.socket) -> None:
    path.sendall(b"NOOP\r\n")
    _read_line(path)


def _read_line(path: socket.socket) -> None:
    octets = b""
    while not octets.endswith(b"\n"):
        received = path.recv(1024)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        octets += received


def _alias(backend: str, server: str, rtt: float) -> str:
    return f"{backend}-{server}-{rtt:g}"


def _options(place: Surroundings, server: str, security: str, rtt: float) -> dict[str, Any]:
    return {
        "host": _HOST,
        "port": place.ports[server, security, rtt],
        "username": USER,
        "password": place.password,
        "use_tls": security == STARTTLS,
        "use_ssl": security == IMPLICIT,
        "timeout": 10,
    }
