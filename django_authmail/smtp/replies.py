"""What a server's reply means: one table from codes to error code, reason and retry.

Sources: RFC 5321 4.2 (basic codes), RFC 3463 and RFC 5248 (enhanced codes), RFC 4954 (AUTH),
RFC 7372 (sender authentication), and the words of the big providers where they differ.
"""

from __future__ import annotations

import re
from enum import StrEnum

from django_authmail.hashes import mask
from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry

#: What is kept of a reply's text. Servers send a few lines at most.
MAX_TEXT = 500
#: What is looked at of a line: the search for addresses must not be given the server's length.
MAX_LINE = 1000

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: +|$)")
_USUAL = re.compile(
    rb"(2\d\d) (?:(2\.\d{1,3}\.\d{1,3}) )?(?![245]\.)((?:[!-?A-~](?: (?=[!-~]))?){0,200})"
)
_ADDRESS = re.compile(r"[^\s<>@,;:\"'()]+@[^\s<>@,;:\"'()]+")
_GREYLISTS = re.compile(r"gr[ae]y-?list", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Stage(StrEnum):
    """Which step of the dialogue a reply answers."""

    CONNECT = "connect"
    AUTH = "auth"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


def parse_reply(lines: list[bytes]) -> Reply:
    """Return the reply of `lines` (each `250-text` or `250 text`, no line end).

    Addresses in the text are masked here, so that no reply can carry one into a row or a log.

    Raises:
        ValueError: the lines are no SMTP reply.
    """
    if len(lines) == 1 and (usual := _USUAL.fullmatch(lines[0])):
        # Nearly every reply: one line of plain text without an address. Three of them are the
        # answer to a mail, and what is below would be a tenth of its whole cost.
        return Reply(
            code=int(usual[1]), enhanced=(usual[2] or b"").decode(), text=usual[3].decode()
        )
    code = lines[0][:3]
    if not re.fullmatch(rb"[2-5]\d\d", code) or any(line[:3] != code for line in lines):
        raise ValueError("the server's answer is no SMTP reply")
    cut = (line[4 : MAX_LINE + 4].decode("utf-8", "replace") for line in lines)
    texts = [_CONTROL.sub(" ", text).strip() for text in cut]
    found = _ENHANCED.match(texts[0])
    enhanced = found[1] if found and found[1][0] == code.decode()[0] else ""
    if enhanced:
        # Multi-line replies repeat the enhanced code on each line.
        texts = [text.removeprefix(enhanced).strip() for text in texts]
    text = _ADDRESS.sub(lambda match: mask(match[0]), " ".join(filter(None, texts)))
    return Reply(code=int(code), enhanced=enhanced, text=text[:MAX_TEXT])


_AUTH: dict[str, Reason] = {
    "5.7.8": Reason.AUTH_FAILED,
    "5.7.9": Reason.APP_PASSWORD_REQUIRED,
    "5.7.11": Reason.AUTH_REQUIRED,
    "5.7.14": Reason.APP_PASSWORD_REQUIRED,  # Gmail: log in by the web browser first
    "5.7.30": Reason.BASIC_AUTH_DISABLED,
    "5.7.139": Reason.BASIC_AUTH_DISABLED,  # Exchange Online: SMTP AUTH is off for the tenant
}

_PERMANENT: dict[str, Reason] = {
    "5.1.1": Reason.BAD_RECIPIENT,
    "5.1.2": Reason.BAD_RECIPIENT,
    "5.1.3": Reason.BAD_RECIPIENT,
    "5.1.6": Reason.BAD_RECIPIENT,
    "5.1.7": Reason.BAD_SENDER,
    "5.1.8": Reason.BAD_SENDER,
    "5.1.10": Reason.BAD_RECIPIENT,
    "5.2.1": Reason.MAILBOX_DISABLED,
    "5.2.2": Reason.MAILBOX_FULL,
    "5.2.3": Reason.MESSAGE_TOO_LARGE,
    "5.3.4": Reason.MESSAGE_TOO_LARGE,
    "5.7.1": Reason.POLICY_REJECTED,
    **{f"5.7.{detail}": Reason.SENDER_AUTHENTICATION_FAILED for detail in range(20, 28)},
}

_OF_A_RECIPIENT = frozenset((Reason.BAD_RECIPIENT, Reason.MAILBOX_DISABLED, Reason.MAILBOX_FULL))

_TRANSIENT: dict[str, Reason] = {
    "4.2.1": Reason.RATE_LIMITED_BY_SERVER,
    "4.2.2": Reason.MAILBOX_FULL,
    "4.5.3": Reason.TOO_MANY_RECIPIENTS,
    "4.7.28": Reason.RATE_LIMITED_BY_SERVER,
}


def classify(reply: Reply, stage: Stage) -> Failure:
    """Say what a reply that is not positive means."""
    if not reply.enhanced and (found := _ENHANCED.match(reply.text)):
        # A foreign carrier's exception has the enhanced code still in its text.
        reply = Reply(code=reply.code, enhanced=found[1], text=reply.text[found.end() :][:MAX_TEXT])
    error_code, reason, retry = _meaning(reply, stage)
    return Failure(error_code=error_code, reason=reason, retry=retry, reply=reply)


def _meaning(reply: Reply, stage: Stage) -> tuple[ErrorCode, Reason, Retry]:
    code, enhanced = reply.code, reply.enhanced
    if _about_login(reply, stage):
        if code in (432, 454) or enhanced.startswith("4."):
            return ErrorCode.SMTP_TRANSIENT, Reason.AUTH_TEMPORARY, Retry.LATER
        by_code = Reason.AUTH_REQUIRED if code in (530, 538) else Reason.AUTH_FAILED
        if code == 534:
            by_code = Reason.APP_PASSWORD_REQUIRED
        return ErrorCode.SMTP_AUTH_FAILED, _AUTH.get(enhanced, by_code), Retry.CARRIER
    if stage is Stage.CONNECT and code >= 500:
        # RFC 5321 3.1: no service for us here. It says nothing about any message.
        return ErrorCode.SMTP_CONNECTION, Reason.CONNECTION_REFUSED, Retry.CARRIER
    if enhanced == "5.4.5":
        # Gmail answers 550 when the day's quota is spent: permanent in form, not in meaning.
        return ErrorCode.SMTP_TRANSIENT, Reason.QUOTA_EXCEEDED, Retry.LATER
    if 400 <= code < 500:
        return ErrorCode.SMTP_TRANSIENT, _transient(reply), Retry.LATER
    if 500 <= code < 600:
        return ErrorCode.RECIPIENT_REFUSED, _permanent(reply, stage), Retry.NEVER
    return ErrorCode.UNKNOWN, Reason.UNKNOWN, Retry.NEVER


def _about_login(reply: Reply, stage: Stage) -> bool:
    if stage is Stage.AUTH:
        return reply.code != 421
    # A server that wants a login says so at MAIL or RCPT.
    return reply.code in (530, 534, 535, 538) or reply.enhanced in ("5.7.30", "5.7.139")


def _transient(reply: Reply) -> Reason:
    # Before the table: servers greylist with whichever code their author took, 4.2.1 among them,
    # and to send more slowly is no help then.
    if reply.code in (450, 451) and (reply.enhanced == "4.7.1" or _GREYLISTS.search(reply.text)):
        return Reason.GREYLISTED
    if reply.enhanced in _TRANSIENT:
        return _TRANSIENT[reply.enhanced]
    if reply.code == 421 or reply.enhanced.startswith(("4.3.", "4.4.")):
        return Reason.SERVER_BUSY
    return Reason.TRANSIENT


def _permanent(reply: Reply, stage: Stage) -> Reason:
    reason = _PERMANENT.get(reply.enhanced)
    if reason in _OF_A_RECIPIENT and stage is not Stage.RECIPIENT:
        # These suppress an address: only a server that was asked about it can say so.
        return Reason.BAD_SENDER if stage is Stage.SENDER else Reason.PERMANENT
    if reason is not None:
        return reason
    return Reason.MESSAGE_TOO_LARGE if reply.code in (523, 552) else Reason.PERMANENT
