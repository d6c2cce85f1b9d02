"""The codes of problems, and what is said of each (contract, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What every problem of one code has in common."""

    status: int
    #: In English in an answer, whoever asks; translated on /docs/errors.
    title: str
    #: Whether the same request may succeed later, without any change to it.
    retryable: bool = False
    hint: str | Promise


_SEE_REASON = _("The member `reason` says more; the send log has the server's reply.")

_NO_BASE_URL = _("Whoever runs this service has to set AUTHMAIL_LINK_BASE_URL.")

#: Every code that this API answers with.
KINDS: dict[str, Kind] = {
    "malformed_json": Kind(
        status=400,
        title=gettext_noop("The body is not valid JSON"),
        hint=_("Send one JSON object in UTF-8, each member once, without NaN or Infinity."),
    ),
    "idempotency_key_invalid": Kind(
        status=400,
        title=gettext_noop("The Idempotency-Key cannot be used"),
        hint=_(
            "Send 1 to 255 visible ASCII characters without spaces, such as a UUID, once and bare "
            "or in double quotes."
        ),
    ),
    "bad_request": Kind(
        status=400,
        title=gettext_noop("The request is not one that this service takes"),
        hint=_("Check the header `Host`: whoever runs this service lists the names that it has."),
    ),
    "missing_credentials": Kind(
        status=401,
        title=gettext_noop("No API key"),
        hint=_("Send the header `Authorization: Bearer KEY`."),
    ),
    "invalid_api_key": Kind(
        status=401,
        title=gettext_noop("The API key is not valid"),
        hint=_("Check that the whole key was copied, and that it was not revoked."),
    ),
    "expired_api_key": Kind(
        status=401,
        title=gettext_noop("The API key has expired"),
        hint=_("Ask whoever runs this service for a new key."),
    ),
    "insufficient_scope": Kind(
        status=403,
        title=gettext_noop("The API key does not allow this"),
        hint=_("Use a key that has the scope, or ask whoever runs this service for one."),
    ),
    "ip_not_allowed": Kind(
        status=403,
        title=gettext_noop("The API key may not be used from this address"),
        hint=_(
            "Use the key from a network that it is made for. Where the service is behind a proxy, "
            "whoever runs it has to set AUTHMAIL_TRUSTED_PROXIES."
        ),
    ),
    "recipient_not_allowed": Kind(
        status=403,
        title=gettext_noop("The API key may not send to this recipient"),
        hint=_("Send to a recipient that the key is made for, or use a key without this limit."),
    ),
    "not_found": Kind(
        status=404,
        title=gettext_noop("Not found"),
        hint=_("Check the address. A key sees only the messages that were sent with it."),
    ),
    "method_not_allowed": Kind(
        status=405,
        title=gettext_noop("The method is not allowed here"),
        hint=_("The header `Allow` of this answer lists the methods."),
    ),
    "not_acceptable": Kind(
        status=406,
        title=gettext_noop("No acceptable form of answer"),
        hint=_("Answers are JSON: send `Accept: application/json`, or no such header."),
    ),
    "idempotency_in_progress": Kind(
        status=409,
        title=gettext_noop("A request with this Idempotency-Key is still running"),
        retryable=True,
        hint=_(
            "Repeat it with the same key after as many seconds as `Retry-After` says: the answer "
            "is that of the first."
        ),
    ),
    "length_required": Kind(
        status=411,
        title=gettext_noop("The length of the body is unknown"),
        hint=_("Send the header `Content-Length` instead of a chunked body."),
    ),
    "payload_too_large": Kind(
        status=413,
        title=gettext_noop("The body is too large"),
        hint=_("A body has at most 10 MB."),
    ),
    "unsupported_media_type": Kind(
        status=415,
        title=gettext_noop("The body is not JSON"),
        hint=_("Send the header `Content-Type: application/json` and a JSON body."),
    ),
    "validation_error": Kind(
        status=422,
        title=gettext_noop("The body is not what this endpoint takes"),
        hint=_("Each entry of `errors` names a member by its JSON pointer and says what is wrong."),
    ),
    "crlf_in_header": Kind(
        status=422,
        title=gettext_noop("Line break in a header field"),
        hint=_(
            "Remove carriage returns, line feeds, NUL and other control characters: a header field "
            "is one line."
        ),
    ),
    "invalid_recipient": Kind(
        status=422,
        title=gettext_noop("The recipient is not a usable address"),
        hint=_("Give one address, as name@domain."),
    ),
    "idempotency_key_reused": Kind(
        status=422,
        title=gettext_noop("This Idempotency-Key was given with another body"),
        hint=_("Nothing was sent. Take a new key for each mail, and the same for its repeats."),
    ),
    "webhook_url_refused": Kind(
        status=422,
        title=gettext_noop("Webhooks must not be sent to this URL"),
        hint=_(
            "`webhook_url` takes an https URL of a host on the internet. Whoever runs this service "
            "can allow others by AUTHMAIL_WEBHOOK_ALLOW_HOSTS."
        ),
    ),
    "unknown_template": Kind(
        status=422,
        title=gettext_noop("There is no such kind of mail"),
        hint=_("The member `template` names a kind of mail that this project has."),
    ),
    "template_error": Kind(
        status=422,
        title=gettext_noop("The mail cannot be made from these values"),
        hint=_("Each entry of `errors` names a value and says what is wrong."),
    ),
    "recipient_suppressed": Kind(
        status=409,
        title=gettext_noop("Nothing is sent to this address"),
        hint=_(
            "A server said of a mail of yours that this mailbox does not exist or is disabled. "
            "Check the address with its owner; whoever runs this service can lift the suppression."
        ),
    ),
    "rate_limited": Kind(
        status=429,
        title=gettext_noop("The API key has used up its requests of this minute"),
        retryable=True,
        hint=_("Wait as many seconds as the header `Retry-After` says, then send it again."),
    ),
    "auth_throttled": Kind(
        status=429,
        title=gettext_noop("Requests without a valid API key are refused for now"),
        retryable=True,
        hint=_(
            "Too many came from this address. Check the key: a valid one is answered at once, "
            "however many others failed."
        ),
    ),
    "recipient_cooldown": Kind(
        status=429,
        title=gettext_noop("This address had enough mails of this kind for now"),
        retryable=True,
        hint=_("Wait as many seconds as the header `Retry-After` says, then send it again."),
    ),
    "internal_error": Kind(
        status=500,
        title=gettext_noop("Something went wrong here"),
        hint=_("Tell whoever runs this service the `request_id`; the log has the rest."),
    ),
    "quota_exceeded": Kind(
        status=429,
        title=gettext_noop("The mail account has used up its quota"),
        retryable=True,
        hint=_("Nothing was sent. Wait as long as `Retry-After` says, or send in the background."),
    ),
    "idempotency_unavailable": Kind(
        status=501,
        title=gettext_noop("This service recognises no repeats"),
        hint=_(
            "Leave the header `Idempotency-Key` out, and repeat nothing that may have been taken. "
            "Whoever runs this service can set AUTHMAIL_IDEMPOTENCY_TTL_SECONDS above 0."
        ),
    ),
    "magic_link_not_configured": Kind(
        status=503, title=gettext_noop("This service has no address for links"), hint=_NO_BASE_URL
    ),
    "link_base_url_not_configured": Kind(
        status=503, title=gettext_noop("This service has no address for links"), hint=_NO_BASE_URL
    ),
    "mailer_unavailable": Kind(
        status=503,
        title=gettext_noop("The mail server is not available"),
        retryable=True,
        hint=_("Nothing was sent. Wait as long as `Retry-After` says, or send in the background."),
    ),
    "paused": Kind(
        status=503,
        title=gettext_noop("Sending is paused"),
        retryable=True,
        hint=_("Nothing was sent. Whoever runs this service has paused it and will resume it."),
    ),
    "database_unavailable": Kind(
        status=503,
        title=gettext_noop("The database is not available"),
        retryable=True,
        hint=_(
            "Send it again after as many seconds as `Retry-After` says, with the same "
            "Idempotency-Key: by that, no mail leaves twice."
        ),
    ),
    "not_ready": Kind(
        status=503,
        title=gettext_noop("This process cannot do its work now"),
        retryable=True,
        hint=_("Each entry of `checks` names a part that does not work. With a key it says why."),
    ),
    "smtp_auth_failed": Kind(
        status=502,
        title=gettext_noop("The mail server refused the login"),
        retryable=True,
        hint=_SEE_REASON,
    ),
    "smtp_connection": Kind(
        status=502,
        title=gettext_noop("No connection to the mail server"),
        retryable=True,
        hint=_SEE_REASON,
    ),
    "smtp_timeout": Kind(
        status=502,
        title=gettext_noop("The mail server did not answer in time"),
        retryable=True,
        hint=_SEE_REASON,
    ),
    "smtp_transient": Kind(
        status=502,
        title=gettext_noop("The mail server refused for now"),
        retryable=True,
        hint=_SEE_REASON,
    ),
    "recipient_refused": Kind(
        status=502, title=gettext_noop("The mail server refused the mail"), hint=_SEE_REASON
    ),
    "starttls_unsupported": Kind(
        status=502,
        title=gettext_noop("The mail server offers no encryption"),
        retryable=True,
        hint=_SEE_REASON,
    ),
    "unknown": Kind(status=502, title=gettext_noop("The mail could not be sent"), hint=_SEE_REASON),
}
