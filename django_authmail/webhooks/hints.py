"""What an event says, and what a person can do about one that did not arrive, in sentences."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_authmail.webhooks import events
from django_authmail.wording import said_lazily

_MEANINGS: dict[str, Promise] = {
    events.ACCEPTED: _("The mail server took it for every recipient."),
    events.PARTIALLY_ACCEPTED: _("The mail server took it for some recipients."),
    events.DEFERRED: _("An attempt failed, and there will be another."),
    events.FAILED: _("It will not be sent."),
    events.EXPIRED: _("Its code or link ended before it could leave."),
    events.SUPERSEDED: _("A newer one took its place."),
    events.HELD: _("It may have been taken; a person decides."),
    events.UNKNOWN: _("It may have been taken; nobody will find out."),
    events.SUPPRESSED: _("Not sent: a server called the address dead before."),
    events.TEST: _("Somebody tests the endpoint."),
}

_HINTS: dict[str, Promise] = {
    "http_status": _("The receiver answered, and not with success. Its log says why."),
    "redirect": _(
        "The receiver sends elsewhere, and redirects are not followed. Give the URL that it leads "
        "to."
    ),
    "timeout": _(
        "The receiver did not answer in time. Let it answer first, and do what takes long later."
    ),
    "connection_refused": _(
        "Nobody takes a connection there. Check that the receiver runs, host and port of the URL, "
        "and whether a firewall lets this machine out."
    ),
    "connection_lost": _("The connection ended without an answer. The receiver's log may say why."),
    "dns_error": _("The name of the host cannot be resolved. Check it, and the DNS here."),
    "tls_error": _(
        "No TLS connection could be made. Check that the receiver's certificate is for this host, "
        "has not ended, and is sent with the certificates between it and its authority. For an "
        "authority of your own, name its file in AUTHMAIL_WEBHOOK_CA_FILE."
    ),
    "protocol_error": _("What answered there does not speak HTTP. Check the port of the URL."),
    "target_refused": _(
        "Nothing was sent: the host leads to an address that webhooks must not go to. A host of "
        "your own network is allowed by AUTHMAIL_WEBHOOK_ALLOW_HOSTS."
    ),
    "error": _(
        "This program failed while it sent it. Its log has the error, as webhook.error with the id "
        "of the delivery."
    ),
    "endpoint_disabled": _("Nothing was sent: the endpoint was disabled, or deleted."),
    "seal_broken": _(
        "Nothing was sent: what is stored could not be opened. Was SECRET_KEY or "
        "AUTHMAIL_SEALING_KEYS changed without keeping the old key as a fallback?"
    ),
    "outcome_lost": _(
        "It was sent as often as it may be, and the outcome of the last time was not recorded. The "
        "log has webhook.not_recorded with the error, or the process ended in the middle."
    ),
    "row_broken": _("Nothing was sent: its row was changed by something else."),
}

_OF_STATUS: dict[int, Promise] = {
    400: _("The receiver did not understand it. Its log says why."),
    401: _(
        "The receiver did not believe it. Does it verify with the secret that was shown last, and "
        "are the clocks of both right?"
    ),
    403: _(
        "The receiver, or something in front of it, refused it. A firewall for web applications or "
        "a check for CSRF often does."
    ),
    404: _("There is nothing at this path. Check the URL."),
    405: _("Nothing there takes a POST. Check the URL."),
    410: _("The receiver says that it is gone for good: nothing more is sent to it."),
    429: _("The receiver wants fewer at a time. It is tried again later by itself."),
}
_OF_STATUS_TO_A_REQUEST: dict[int, Promise] = {
    401: _(
        "The receiver did not believe it. Does it verify with the `webhook_secret` of the request, "
        "and are the clocks of both right? Without a `webhook_secret` nothing is signed."
    ),
}
_SERVER_ERROR = _("The receiver failed while it took it. Its log says why.")


def hint(reason: str, status: int | None = None, *, of_request: bool = False) -> str | Promise:
    """Return what to do about an attempt, or an end; empty where there is nothing.

    `of_request`: a request said where to, and not an endpoint. It is lazy: the language is that of
    the moment when it is shown.
    """
    if reason == "http_status" and status is not None:
        if of_request and status in _OF_STATUS_TO_A_REQUEST:
            return _OF_STATUS_TO_A_REQUEST[status]
        if status in _OF_STATUS:
            return _OF_STATUS[status]
        if status >= 500:
            return _SERVER_ERROR
    return said_lazily(_HINTS[reason]) if reason in _HINTS else ""


def event_meaning(type: str) -> str | Promise:
    """Return what an event of this type says of its mail; empty for a type that there is not."""
    return _MEANINGS.get(type, "")
