"""How to reach one SMTP account: a frozen value, complete and checked when constructed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from django_authmail.guards import (
    envelope_address,
    header_address,
    host_problem,
    port_problem,
    safe_header,
)
from django_authmail.secret import Secret
from django_authmail.smtp.presets import preset

#: RFC 5322 2.2: printable ASCII but the colon.
HEADER_NAME = re.compile(r"[!-9;-~]+")


class TokenProvider(Protocol):
    """Where access tokens for XOAUTH2 come from; `smtp.oauth` has some."""

    def token(self) -> str:
        """Return a valid token, cached until it expires."""

    def refresh(self, rejected: str) -> str:
        """Return another token than `rejected`, which the server refused."""


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """Server, account and limits. Durations are seconds.

    Raises:
        ImproperlyConfigured: the values contradict each other; the text names them.
    """

    host: str
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    #: From address of mails that name none. Empty: `user`.
    from_addr: str = ""
    #: STARTTLS, mandatory: a server that does not offer it gets neither password nor mail.
    use_tls: bool = True
    timeout: float = 10.0
    #: TLS from the first octet (port 465, RFC 8314).
    use_ssl: bool = False
    #: Longest time for one whole hand-over, whatever the server does.
    deadline: float = 45.0
    #: PEM file of the authority that signed the server's certificate. Empty: the system's.
    ca_file: str = ""
    #: Client certificate and key, PEM.
    certfile: str = ""
    keyfile: str = ""
    #: Name for EHLO. Empty: this host's name, or its address where it has no domain.
    local_hostname: str = ""
    allow_cleartext_auth: bool = False
    #: Log the dialogue (logger `django_authmail.smtp.dialogue`), without AUTH and content.
    debug: bool = False
    #: Address of this host to connect from. Empty: whichever the system takes.
    source_address: str = ""
    #: Envelope sender (MAIL FROM), where bounces go. Empty: the From address.
    envelope_sender: str = ""
    #: Send in clear text where the server offers no STARTTLS. With it, whoever is on the way can
    #: switch TLS off.
    opportunistic: bool = False
    #: Oldest version of TLS, and the ciphers of TLS 1.2 in OpenSSL's notation (empty: its default).
    min_tls: str = "TLSv1.2"
    ciphers: str = ""
    #: Use BDAT where the server offers it: one round trip less, more in doubt when it breaks.
    chunking: bool = True
    #: Connections of this process to the server.
    pool_size: int = 4
    #: Mails after which, and seconds of age at which, a connection is replaced.
    max_mails: int = 90
    max_age: float = 480.0
    #: Idle seconds after which a connection is shown to be in use by a NOOP.
    max_idle: float = 45.0
    #: Headers added to each mail, as pairs: how a provider is told not to rewrite links.
    headers: tuple[tuple[str, str], ...] = ()
    #: Log in by XOAUTH2 with its tokens instead of by password.
    token_provider: TokenProvider | None = field(default=None, repr=False)
    #: Write `<message-id>.eml` into this folder instead of connecting.
    capture_dir: str = ""

    def __post_init__(self) -> None:
        if not self.host:
            raise ImproperlyConfigured("SMTP: no host is given; name the mail server")
        # Whatever reaches the dialogue as a command must be one line.
        safe_header(self.host, "host")
        safe_header(self.local_hostname, "local_hostname")
        # In PLAIN and XOAUTH2 it stands between octets of control.
        safe_header(self.user, "user")
        if problem := host_problem(self.host):
            raise ImproperlyConfigured(f"SMTP: the host {problem}")
        if not self.local_hostname.isascii():
            raise ImproperlyConfigured(
                f"SMTP: local_hostname {self.local_hostname!r} must be ASCII, it goes into EHLO"
            )
        if problem := port_problem(self.port):
            raise ImproperlyConfigured(f"SMTP: the port {problem}")
        for name in ("timeout", "deadline", "max_age", "max_idle"):
            if not getattr(self, name) > 0:
                raise ImproperlyConfigured(
                    f"SMTP: {name} must be more than 0 seconds, not {getattr(self, name)!r}"
                )
        if self.use_tls and self.use_ssl:
            raise ImproperlyConfigured(
                "SMTP: use_tls (STARTTLS, port 587) and use_ssl (TLS from the start, port 465) "
                "exclude each other; set one of them"
            )
        for name in ("pool_size", "max_mails"):
            if getattr(self, name) < 1:
                raise ImproperlyConfigured(
                    f"SMTP: {name} must be 1 or more, not {getattr(self, name)!r}"
                )
        if self.min_tls not in ("TLSv1.2", "TLSv1.3"):
            raise ImproperlyConfigured(
                f"SMTP: min_tls is 'TLSv1.2' or 'TLSv1.3', not {self.min_tls!r}"
            )
        if self.token_provider is not None:
            self._check_token_login()
        elif bool(self.user) != bool(self.password):
            given, missing = ("user", "password") if self.user else ("password", "user")
            raise ImproperlyConfigured(
                f"SMTP: a {given} is given without a {missing}; give both to log in, or neither "
                "to send without login"
            )
        encrypted = self.use_ssl or (self.use_tls and not self.opportunistic)
        if self.user and not (encrypted or self.allow_cleartext_auth):
            raise ImproperlyConfigured(
                f"SMTP: the password for {self.host} would cross the network readable; set "
                "use_tls (not opportunistic) or use_ssl, or allow_cleartext_auth if the network "
                "is your own"
            )
        for name, value in self.headers:
            if not HEADER_NAME.fullmatch(name):
                raise ImproperlyConfigured(f"SMTP: {name!r} cannot be the name of a header")
            safe_header(value, f"the header {name}")
            # They stand in each mail as they are: RFC 5322 2.1.1 and 2.2.
            if not value.isascii() or len(name) + len(value) > 996:
                raise ImproperlyConfigured(
                    f"SMTP: the header {name} must be ASCII and fit into one line of 998 characters"
                )
            if name.lower() in ("bcc", "resent-bcc"):
                raise ImproperlyConfigured(f"SMTP: {name} would show a hidden recipient to all")
        if self.from_addr:
            header_address(self.from_addr, "from_addr")
        if self.envelope_sender:
            envelope = envelope_address(self.envelope_sender, "envelope_sender")
            object.__setattr__(self, "envelope_sender", envelope)
        object.__setattr__(self, "password", Secret(self.password))

    def _check_token_login(self) -> None:
        if not self.user:
            raise ImproperlyConfigured("SMTP: a login by token needs the user whose mailbox sends")
        if self.password:
            raise ImproperlyConfigured(
                "SMTP: a password and a token provider are both given; give one of them"
            )

    @property
    def sender(self) -> str:
        """The From address of mails that name none; empty when neither it nor a user is given."""
        return self.from_addr or (self.user if "@" in self.user else "")

    @property
    def server(self) -> str:
        """Host and port, for people who look for what is wrong."""
        return f"{self.host}:{self.port}"

    @property
    def header_lines(self) -> bytes:
        """`headers` as they stand at the top of a mail."""
        return b"".join(f"{name}: {value}\r\n".encode() for name, value in self.headers)

    @classmethod
    def from_preset(cls, name: str, **given: Any) -> SmtpConfig:
        """Return the configuration for a provider (`smtp.presets`); what is given wins.

        Raises:
            ImproperlyConfigured: there is no such preset, or the values contradict each other.
        """
        known = preset(name)
        return cls(**{"headers": tuple(known.headers.items())} | known.options(given))
