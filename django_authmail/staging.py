"""Staging: every mail to the team's own addresses, whoever it was meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django_authmail.conf import conf
from django_authmail.message import Envelope
from django_authmail.outcomes import SendResult

#: Header that names who a mail was meant for.
HEADER = "X-Authmail-Original-To"


def override_recipients() -> tuple[str, ...]:
    """Return the addresses that every mail goes to instead; empty where it goes to its own.

    Empty, too, where no settings are configured: then somebody uses the SMTP core by itself.
    """
    return conf.override_recipients if conf.is_configured else ()


def deliver_as_configured(
    envelope: Envelope, content: bytes, deliver: Callable[[Envelope, bytes], SendResult]
) -> SendResult:
    """Call `deliver`, with the recipients of AUTHMAIL_OVERRIDE_RECIPIENTS where that is set.

    The original ones are then in a header of the mail. The result speaks of them as well, as if
    they had been sent to, so that what is recorded is what production would record.
    """
    override = override_recipients()
    if not override:
        return deliver(envelope, content)
    # One address a line: a folded header has no limit but that of its lines (RFC 5322 2.1.1).
    named = ",\r\n ".join(envelope.recipients)
    header = f"{HEADER}: {named}\r\n".encode()
    result = deliver(replace(envelope, recipients=override), header + content)
    return replace(result, accepted=envelope.recipients if result.sent else (), refused=())
