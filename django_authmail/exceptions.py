"""What this package raises.

AuthmailError
├── UnsafeHeader          (ValueError)  CR, LF or NUL in a header field or an address
├── InvalidAddress        (ValueError)  an address that is none, or that SMTP cannot carry
├── InvalidContext        (ValueError)  a template context with an unusable value
│   ├── MissingName       (KeyError)    a value that a notifier needs and is not given
│   ├── UnknownName       (TypeError)   a value that a notifier does not take
│   └── RepeatedName      (TypeError)   a value that is given twice
├── UnsafeLink            (ValueError)  a base URL or path that links must not begin with
├── WebhookUrlRefused     (ValueError)  a URL that no webhook may be sent to
├── WebhookInvalid        (ValueError)  a webhook that is not genuine, or not fresh
├── SealBroken                          a sealed body that none of the keys opens
├── MailerUnavailable                   no carrier may take a message now: paused, broken, spent
├── RecipientCooldown                   a mailbox that had enough mails of one kind for now
├── RecipientSuppressed                 an address that a server called dead
├── IdempotencyKeyReused                an Idempotency-Key that was given with another body
├── Outrun                              another request with the same Idempotency-Key was faster
├── NotRotatable                        rotating a key that has ended or was replaced
├── EndpointDisabled                    a test for an endpoint that nothing is sent to
├── EndpointChanged                     changing what is not any more as the caller saw it
├── RotatedTooOften                     one more secret for an endpoint that has as many as it may
├── LeaseLost                           settling a message that another worker has taken over
└── NotHeld                             deciding about a message that is not held any more

ImproperlyConfigured (Django's)
├── MissingExtra                        a part of the package whose requirements are not installed
├── MailerUnusable                      a mailer that does not exist or cannot carry queued mail
├── NoLinkBaseURL                       a mail with a link in a project that has no address for it
├── NoTables              (DatabaseError)  a database that was not migrated (`transactions`)
└── StatementTooLarge     (DatabaseError)  a mail that MariaDB or MySQL never takes (`transactions`)

A refusal by a mail server is not here: it is a value, `outcomes.SendResult`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from difflib import get_close_matches

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
        #: What is wrong where it is no line break or control character; empty where it is.
        self.problem = problem
        # The value is not shown: it is hostile, and it may hold a code.
        super().__init__(
            f"{field} {problem}"
            if problem
            else f"{field} contains a line break, NUL or another control character; "
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


class MissingName(InvalidContext, TypeError, KeyError):
    """Raised when a notifier is not given a value that its mail shows."""

    def __init__(self, name: str, taken: Collection[str]) -> None:
        super().__init__(name, f"this value is missing; {_taken(taken)}")

    # KeyError's own would show the repr of the message.
    __str__ = Exception.__str__


class UnknownName(InvalidContext, TypeError):
    """Raised when a notifier is given a value that its mail does not show."""

    def __init__(self, name: str, taken: Collection[str], options: Collection[str] = ()) -> None:
        near = get_close_matches(name, [*taken, *options], n=1)
        meant = f"did you mean {near[0]}?" if near else _taken(taken)
        super().__init__(name, f"there is no such value; {meant}")


def _taken(names: Collection[str]) -> str:
    # Not the recipient, whom every mail has and none shows.
    return f"it takes {', '.join(name for name in names if name != 'to') or 'none'}"


class RepeatedName(InvalidContext, TypeError):
    """Raised when a notifier is given one value twice, by two names or two ways."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "this value is given twice")


class UnsafeLink(AuthmailError, ValueError):
    """Raised when a URL or path could take the links of mails to where they must not lead."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field} {problem}")


class WebhookUrlRefused(AuthmailError, ValueError):
    """Raised when a webhook must not be sent to a URL.

    The text does not say what its host resolves to: that would tell a caller about the names and
    addresses of this machine's network. Nor does it have the URL, which may hold a token.

    `template` is marked for translation: with `facts` filled in, it is `problem`.
    """

    code = "webhook_url_refused"

    def __init__(self, template: str, **facts: object) -> None:
        self.template = template
        self.facts = facts
        self.problem = template % facts if facts else template
        super().__init__(f"the webhook's URL {self.problem}")


class WebhookInvalid(AuthmailError, ValueError):
    """Raised when a receiver cannot trust a webhook.

    `reason` is `header_missing`, `timestamp_invalid`, `too_old`, `too_new`, `signature_mismatch` or
    `not_json`.
    """

    code = "webhook_invalid"

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        super().__init__(problem)


class SealBroken(AuthmailError):
    """Raised when a sealed body cannot be opened: its key is gone, or the row was altered."""

    code = "seal_broken"


class RecipientCooldown(AuthmailError):
    """Raised when a mailbox has had as many mails of one kind as it gets for now."""

    code = "recipient_cooldown"

    def __init__(self, retry_after: int) -> None:
        #: Whole seconds until the next one may be sent.
        self.retry_after = retry_after
        super().__init__(f"too many mails of this kind to this address; wait {retry_after} s")


class RecipientSuppressed(AuthmailError):
    """Raised when a mail is for an address that a server called dead a while ago."""

    code = "recipient_suppressed"

    def __init__(self, addresses: frozenset[str]) -> None:
        #: Which of the mail's recipients. Not in the text: that ends up in logs.
        self.addresses = addresses
        super().__init__("nothing is sent to this address: a server said that it does not work")


class IdempotencyKeyReused(AuthmailError):
    """Raised when a request has the Idempotency-Key of an earlier one and says something else."""

    code = "idempotency_key_reused"


class Outrun(AuthmailError):
    """Raised when another request with the same Idempotency-Key was faster: that one is first."""

    code = "idempotency_in_progress"


class NotRotatable(AuthmailError):
    """Raised when a key that has ended, or that another has replaced, is to be rotated."""

    code = "not_rotatable"


class EndpointDisabled(AuthmailError):
    """Raised when something is to be sent to a webhook endpoint that is disabled."""

    code = "endpoint_disabled"


class EndpointChanged(AuthmailError):
    """Raised when a caller changes what somebody else has changed since the caller looked."""

    code = "endpoint_changed"

    def __init__(self, fields: Collection[str]) -> None:
        self.fields = tuple(fields)
        names = " and ".join(self.fields)
        super().__init__(f"{names} was changed meanwhile; look at it, and change it again")


class RotatedTooOften(AuthmailError):
    """Raised when a rotation would leave an endpoint with more secrets than may sign at a time."""

    code = "rotated_too_often"

    def __init__(self, count: int, until: datetime) -> None:
        self.count = count
        #: When the first of them ends.
        self.until = until
        super().__init__(
            f"{count} secrets sign for this endpoint already; rotate with no overlap, which ends "
            f"all of them, or wait until {until:%Y-%m-%d %H:%M:%S} UTC"
        )


class LeaseLost(AuthmailError):
    """Raised when a worker settles a message whose lease ended and was taken by another."""

    code = "lease_lost"


class NotHeld(AuthmailError):
    """Raised when somebody decides about a message that is not held, or not any more."""

    code = "not_held"


class MailerUnavailable(AuthmailError):
    """Raised when a message was to be sent now, and no carrier may take one.

    `code` is `paused`, `mailer_unavailable` (its breaker is open) or `quota_exceeded`. Nothing was
    recorded or sent.
    """

    def __init__(self, code: str, carrier: str, retry_after: float) -> None:
        self.code = code
        self.carrier = carrier
        #: Seconds until it may be otherwise.
        self.retry_after = retry_after
        super().__init__(f"the mailer {carrier!r} takes nothing now ({code})")


class MissingExtra(ImproperlyConfigured):
    """Raised when a part of the package is used whose requirements are not installed.

    A configuration error on purpose: no input can cause or cure it. `problem` says what is missing,
    `command` brings it.
    """

    def __init__(self, problem: str, command: str) -> None:
        super().__init__(problem, command)
        self.problem = problem
        self.command = command

    def __str__(self) -> str:
        return f"{self.problem}; run: {self.command}"


class MailerUnusable(ImproperlyConfigured):
    """Raised when a mailer alias is unknown, or its backend cannot carry queued mail."""


class NoLinkBaseURL(ImproperlyConfigured):
    """Raised when a mail with a link is to be built and AUTHMAIL_LINK_BASE_URL is not set."""
