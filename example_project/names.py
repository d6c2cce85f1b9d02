"""The names of the environment, and which of them a name that nothing reads was meant for."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from django_authmail.conf import PREFIX

#: The name of the path that links of a kind have.
LINK_PATHS = {
    "email-verification": "EMAIL_VERIFICATION_PATH",
    "invitation": "INVITATION_PATH",
    "magic-link": "MAGIC_LINK_PATH",
    "password-reset": "PASSWORD_RESET_PATH",
    "payment-receipt": "PAYMENT_RECEIPT_PATH",
    "security-notice": "SECURITY_NOTICE_PATH",
    "welcome": "WELCOME_PATH",
}

#: Every name that the settings read. The demo removes them all from what its processes inherit.
NAMES = (
    "ALLOWED_HOSTS",
    "API_DOCS",
    "API_IDEMPOTENCY_TTL_SECONDS",
    "API_KEY",
    "API_RATE_LIMIT_PER_MINUTE",
    "CACHE_URL",
    "CELERY_BROKER_URL",
    "DATABASE_URL",
    "DATA_DIR",
    "DEFAULT_FROM_EMAIL",
    "DEMO_INBOX_DIR",
    "DEMO_WEBHOOKS_DIR",
    "EMAIL_SERVICE_DEBUG",
    "EMAIL_SERVICE_LOG_FORMAT",
    "EMAIL_TEST_CAPTURE_DIR",
    "HOST",
    "LANGUAGE_CODE",
    "MAGIC_LINK_BASE_URL",
    "METRICS_ENABLED",
    "METRICS_REQUIRE_AUTH",
    "PORT",
    "SECRET_KEY",
    "SMTP_CA_FILE",
    "SMTP_FROM",
    "SMTP_HOST",
    "SMTP_PASSWORD",
    "SMTP_PORT",
    "SMTP_USER",
    "SMTP_USE_SSL",
    "SMTP_USE_TLS",
    "TIME_ZONE",
    "TRUSTED_PROXIES",
    "WEBHOOK_ALLOW_HOSTS",
    "WEBHOOK_ALLOW_LOOPBACK",
    "WEBHOOK_CA_FILE",
    "WEBHOOK_SIGNATURE_V1",
    *LINK_PATHS.values(),
)

#: What this project's names begin with, and hardly any other program's: of these, whatever nothing
#: reads is a mistake, or a setting of hwan-email-service that has no effect here.
OWN_PREFIXES = ("API_", "EMAIL_SERVICE_", "MAGIC_LINK_", "METRICS_", "SMTP_", "WEBHOOK_")


def meant_by(name: str) -> str:
    """Return the name of `NAMES` that another one was meant for; empty where none is near."""
    if name.startswith(PREFIX):
        # AUTHMAIL_LINK_BASE_URL is set by MAGIC_LINK_BASE_URL. One word alone is no such likeness:
        # AUTHMAIL_URL and AUTHMAIL_KEY are what clients call theirs.
        word = name.removeprefix(PREFIX)
        for known in NAMES:
            if known == word or ("_" in word and known.endswith(f"_{word}")):
                return known
        return "".join(get_close_matches(word, NAMES, n=1, cutoff=0.85))
    own = next((prefix for prefix in OWN_PREFIXES if name.startswith(prefix)), "")
    if own:
        return _meant_among([known for known in NAMES if known.startswith(own)], name, own)
    return "".join(get_close_matches(name, NAMES, n=1, cutoff=0.85))


def _meant_among(names: Sequence[str], name: str, prefix: str) -> str:
    """Return which of `names` is meant, all of which begin with the prefix, as `name` does."""
    # The prefix is no likeness: SMTP_TIMEOUT has little of SMTP_PORT.
    words = {known.removeprefix(prefix): known for known in names}
    word = name.removeprefix(prefix)
    for candidate, known in words.items():
        if candidate.startswith(word) or candidate.endswith(f"_{word}"):
            return known
    for candidate, known in words.items():
        if word.startswith(candidate):
            return known
    return "".join(words[near] for near in get_close_matches(word, words, n=1, cutoff=0.7))
