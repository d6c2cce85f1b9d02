"""Staging: every mail to the team's own addresses, whoever it was meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django_authmail.conf import conf
from django_authmail.message import Envelope
from django_authmail.outcomes import SendResult

HEADER = b"X-Authmail-Original-To: "


def deliver_as_configured(
    envelope: Envelope, content: bytes, deliver: Callable[[Envelope, bytes], SendResult]
) -> SendResult:
    """Call `deliver`, with the recipients of AUTHMAIL_OVERRIDE_RECIPIENTS where that is set.

    The original ones are then in a header of the mail. The result speaks of them as well, as if
    they had been sent to, so that what is recorded is what production would record.
    """
    override = conf.override_recipients
    if not override:
        return deliver(envelope, content)
    # One address a line: a folded header has no limit but that of its lines (RFC 5322 2.1.1).
    named = b",\r\n ".join(address.encode() for address in envelope.recipients)
    result = deliver(
        replace(envelope, recipients=tuple(override)), HEADER + named + b"\r\n" + content
    )
    return replace(result, accepted=envelope.recipients if result.sent else (), refused=())
