"""How to reach one SMTP account: a frozen value, complete and checked when constructed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from django.core.exceptions import ImproperlyConfigured

from django_authmail.guards import header_address, safe_header
from django_authmail.secret import Secret


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
    #: Write `<message-id>.eml` into this folder instead of connecting.
    capture_dir: str = ""

    def __post_init__(self) -> None:
        if not self.host:
            raise ImproperlyConfigured("SMTP: no host is given; name the mail server")
        # Whatever reaches the dialogue as a command must be one line.
        safe_header(self.host, "host")
        safe_header(self.local_hostname, "local_hostname")
        if not 1 <= self.port <= 65535:
            raise ImproperlyConfigured(f"SMTP: port {self.port} is not between 1 and 65535")
        for name in ("timeout", "deadline"):
            if not getattr(self, name) > 0:
                raise ImproperlyConfigured(
                    f"SMTP: {name} must be more than 0 seconds, not {getattr(self, name)!r}"
                )
        if self.use_tls and self.use_ssl:
            raise ImproperlyConfigured(
                "SMTP: use_tls (STARTTLS, port 587) and use_ssl (TLS from the start, port 465) "
                "exclude each other; set one of them"
            )
        if bool(self.user) != bool(self.password):
            given, missing = ("user", "password") if self.user else ("password", "user")
            raise ImproperlyConfigured(
                f"SMTP: a {given} is given without a {missing}; give both to log in, or neither "
                "to send without login"
            )
        if self.user and not (self.use_tls or self.use_ssl or self.allow_cleartext_auth):
            raise ImproperlyConfigured(
                f"SMTP: the password for {self.host} would cross the network readable; set "
                "use_tls or use_ssl, or allow_cleartext_auth if the network is your own"
            )
        if self.from_addr:
            header_address(self.from_addr, "from_addr")
        object.__setattr__(self, "password", Secret(self.password))

    @property
    def sender(self) -> str:
        """The From address of mails that name none; empty when neither it nor a user is given."""
        return self.from_addr or (self.user if "@" in self.user else "")

    @classmethod
    def option_names(cls) -> frozenset[str]:
        """Return the names of every field."""
        return frozenset(item.name for item in fields(cls))
