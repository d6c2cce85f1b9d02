"""What this package raises.

AuthmailError
├── UnsafeHeader          (ValueError)  CR, LF or NUL in a header field or an address
├── InvalidAddress        (ValueError)  an address that is none, or that SMTP cannot carry
├── InvalidContext        (ValueError)  a template context with a missing, unknown or unusable name
├── SealBroken                          a sealed body that none of the keys opens
└── LeaseLost                           settling a message that another worker has taken over

ImproperlyConfigured (Django's)
├── MissingExtra                        a part of the package whose requirements are not installed
└── MailerUnusable                      a mailer that does not exist or cannot carry queued mail

A refusal by a mail server is not here: it is a value, `outcomes.SendResult`.
"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured


class AuthmailError(Exception):
    """Root of the errors that a caller's input or a message's state can cause."""

    #: The word for this error in API answers (contract, section 3).
    code = "unknown"


class UnsafeHeader(AuthmailError, ValueError):
    """Raised when a value that could break or forge a header would become one."""

    code = "crlf_in_header"

    def __init__(self, field: str, problem: str = "") -> None:
        self.field = field
        # The value is not shown: it is hostile, and it may hold a code.
        super().__init__(
            f"{field} {problem}"
            if problem
            else f"{field} contains a carriage return, line feed or NUL character; "
            "remove it, header fields are one line"
        )


class InvalidAddress(AuthmailError, ValueError):
    """Raised when an address cannot be used as an SMTP envelope address."""

    code = "invalid_recipient"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field} is not a usable email address: {problem}")


class InvalidContext(AuthmailError, ValueError):
    """Raised when a notifier is given a missing, unknown or unusable template value."""

    code = "template_error"

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"{name}: {problem}")


class SealBroken(AuthmailError):
    """Raised when a sealed body cannot be opened: its key is gone, or the row was altered."""

    code = "seal_broken"


class LeaseLost(AuthmailError):
    """Raised when a worker settles a message whose lease ended and was taken by another."""

    code = "lease_lost"


class MissingExtra(ImproperlyConfigured):
    """Raised when a part of the package is used whose requirements are not installed.

    A configuration error on purpose: no input can cause or cure it.
    """


class MailerUnusable(ImproperlyConfigured):
    """Raised when a mailer alias is unknown, or its backend cannot carry queued mail."""
