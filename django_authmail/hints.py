"""What a person can do about a failed delivery: one sentence or two for each `Reason`.

The send log shows `hint` to whoever runs the service, the API `hint_for_caller` to its callers.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_authmail.outcomes import Reason
from django_authmail.wording import said_lazily

_TRY_LATER = _("The mail server is busy or has a passing problem. Try again later.")

_HINTS: dict[Reason, Promise] = {
    Reason.CRLF_IN_HEADER: _(
        "A header field or an address holds a line break. Remove it: header fields are one line."
    ),
    Reason.DNS_ERROR: _(
        "The name of the mail server cannot be resolved. Check the host in the mail settings and "
        "the DNS of this machine."
    ),
    Reason.CONNECTION_REFUSED: _(
        "The mail server cannot be reached. Check host and port in the mail settings, and whether "
        "a firewall lets this machine out on that port."
    ),
    Reason.CONNECTION_LOST: _(
        "The mail server closed the connection before it had the mail. Try again later."
    ),
    Reason.TLS_ERROR: _(
        "No TLS connection could be made. Port 587 goes with STARTTLS, port 465 with TLS from the "
        "start; check that port and TLS setting match."
    ),
    Reason.CERTIFICATE_INVALID: _(
        "The mail server's certificate cannot be trusted. Use the host name that it was issued "
        "for; for a private authority, name its file in AUTHMAIL_SMTP_CA_FILE."
    ),
    Reason.STARTTLS_UNSUPPORTED: _(
        "The mail server does not offer STARTTLS, and nothing is sent without encryption. Use port "
        "587, or port 465 with TLS from the start."
    ),
    Reason.AUTH_FAILED: _(
        "The mail server refused the user name or the password. Check both in the mail settings. "
        "Gmail and Naver want an app password instead of the account's own, and SMTP must be "
        "switched on in the settings of the mailbox."
    ),
    Reason.APP_PASSWORD_REQUIRED: _(
        "The provider refuses the account's own password. Make an app password there and use it."
    ),
    Reason.AUTH_REQUIRED: _(
        "The mail server asks for a login. Set user name and password in the mail settings."
    ),
    Reason.BASIC_AUTH_DISABLED: _(
        "The provider does not accept passwords for SMTP any more. Allow it for this account in "
        "the provider's administration, or use another way to log in."
    ),
    Reason.AUTH_TEMPORARY: _("The mail server cannot check logins at the moment. Try again later."),
    Reason.SMTP_TIMEOUT: _(
        "The mail server did not answer in time; it did not take the mail. If it never answers, "
        "check that port and TLS setting match (587 goes with STARTTLS, 465 with TLS from the "
        "start), and whether a firewall lets this machine out on that port."
    ),
    Reason.OUTCOME_UNKNOWN: _(
        "The connection ended after the content was sent and before the server's answer: it may "
        "have taken the mail. Sending again may deliver it twice."
    ),
    Reason.SERVER_BUSY: _TRY_LATER,
    Reason.GREYLISTED: _(
        "The recipient's server makes new senders wait (greylisting). It usually takes the mail a "
        "few minutes later."
    ),
    Reason.RATE_LIMITED_BY_SERVER: _(
        "The mail server limits how much this account may send. Send more slowly."
    ),
    Reason.TOO_MANY_RECIPIENTS: _(
        "The mail server takes fewer recipients at once. The others need a mail of their own."
    ),
    Reason.MAILBOX_FULL: _("The recipient's mailbox is full."),
    Reason.QUOTA_EXCEEDED: _(
        "The account has used up what it may send for now. Wait until the provider's window opens."
    ),
    Reason.BAD_RECIPIENT: _("There is no such mailbox. Check the address with its owner."),
    Reason.MAILBOX_DISABLED: _("The recipient's mailbox is disabled. Ask for another address."),
    Reason.BAD_SENDER: _(
        "The mail server refuses the sender's address. Check the From address in the mail settings."
    ),
    Reason.MESSAGE_TOO_LARGE: _("The mail is larger than the server takes."),
    Reason.POLICY_REJECTED: _(
        "The server refuses the mail by its policy. Its reply often says why; check sender, "
        "content and reputation."
    ),
    Reason.SENDER_AUTHENTICATION_FAILED: _(
        "The recipient's server could not verify the sender. Check SPF, DKIM and DMARC of the From "
        "domain."
    ),
    Reason.TRANSIENT: _TRY_LATER,
    Reason.PERMANENT: _("The server refused the mail for good. Its reply often says why."),
    Reason.UNKNOWN: _(
        "Something unexpected happened while sending. The log of the service says more."
    ),
    Reason.EXPIRED: _(
        "The mail was not sent: its content would have been too old to be of use. Request a new "
        "one."
    ),
    Reason.SUPPRESSED: _(
        "Nothing was sent: a server said a while ago that this mailbox does not exist or is "
        "disabled. Check the address with its owner. Whoever runs this service can lift the "
        "suppression."
    ),
    Reason.ERASED: _(
        "The mail was not sent, and will not be: everything about its recipient was erased."
    ),
    Reason.SEAL_BROKEN: _(
        "The stored mail could not be opened. Was SECRET_KEY or AUTHMAIL_SEALING_KEYS changed "
        "without keeping the old key as a fallback?"
    ),
    Reason.ROW_BROKEN: _(
        "The stored mail cannot be read: something other than this package changed its row. Send "
        "a new one, and find out what writes to these tables."
    ),
    Reason.MAILER_UNUSABLE: _(
        "The mail settings name no mailer that can send. `manage.py check` says what is wrong."
    ),
    Reason.MAILER_UNAVAILABLE: _(
        "The mail server was not to be reached several times in a row, or refused the login, and "
        "is left alone for a moment. It is tried again by itself; “Carriers” in the admin says "
        "what is wrong."
    ),
    Reason.PAUSED: _("Sending is paused. Whoever paused it can resume it in the admin."),
}

_NETWORK = _(
    "The mail server cannot be reached. Try again later; if that does not help, whoever runs this "
    "service has to check the mail settings and the network."
)
_ENCRYPTION = _(
    "No encrypted connection to the mail server could be made. Whoever runs this service has to "
    "check the mail settings and the certificate of the server."
)
_LOGIN = _(
    "The mail server did not let this service log in. Whoever runs this service has to check the "
    "login in the mail settings."
)
_STORED = _(
    "The stored mail cannot be read. Send a new one; the send log tells whoever runs this service "
    "why."
)

#: What callers can do about it is little: the settings are not theirs.
_HINTS_FOR_CALLERS: dict[Reason, Promise] = {
    Reason.DNS_ERROR: _NETWORK,
    Reason.CONNECTION_REFUSED: _NETWORK,
    Reason.TLS_ERROR: _ENCRYPTION,
    Reason.CERTIFICATE_INVALID: _ENCRYPTION,
    Reason.STARTTLS_UNSUPPORTED: _ENCRYPTION,
    Reason.AUTH_FAILED: _LOGIN,
    Reason.APP_PASSWORD_REQUIRED: _LOGIN,
    Reason.AUTH_REQUIRED: _LOGIN,
    Reason.BASIC_AUTH_DISABLED: _LOGIN,
    Reason.SMTP_TIMEOUT: _(
        "The mail server did not answer in time; it did not take the mail. Try again later; if "
        "that does not help, whoever runs this service has to check the mail settings and the "
        "network."
    ),
    Reason.BAD_SENDER: _(
        "The mail server refuses the sender's address. Whoever runs this service has to check the "
        "From address in the mail settings."
    ),
    Reason.SENDER_AUTHENTICATION_FAILED: _(
        "The recipient's server could not verify the sender. Whoever runs this service has to "
        "check SPF, DKIM and DMARC of the From domain."
    ),
    Reason.SEAL_BROKEN: _STORED,
    Reason.ROW_BROKEN: _STORED,
    Reason.MAILER_UNUSABLE: _(
        "The mail settings name no mailer that can send. Whoever runs this service has to mend "
        "them."
    ),
    Reason.MAILER_UNAVAILABLE: _(
        "The mail server was not to be reached several times in a row, or refused the login, and "
        "is left alone for a moment. It is tried again by itself; if that takes long, whoever runs "
        "this service sees in its admin what is wrong."
    ),
}


def hint(reason: str) -> str | Promise:
    """Return what whoever runs the service can do about `reason`; empty for a word that is none.

    It is lazy: the language is that of the moment when it is shown.
    """
    try:
        return said_lazily(_HINTS[Reason(reason)])
    except (ValueError, KeyError):
        return ""


def hint_for_caller(reason: str) -> str | Promise:
    """Return the same for whoever calls the service, and cannot see or change its settings."""
    try:
        return said_lazily(_HINTS_FOR_CALLERS[Reason(reason)])
    except (ValueError, KeyError):
        return hint(reason)
