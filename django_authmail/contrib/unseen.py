"""Send so that no page can tell, from a failure, whether an address has an account."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_authmail.notifiers import Notifier

logger = logging.getLogger(__name__)


def send_unseen(notifier: Notifier, to: str, **values: Any) -> None:
    """Send a mail that the one who asked may not be entitled to know of.

    A page that fails only where there is an account would tell that there is one. What goes wrong
    is logged instead, as Django's own PasswordResetForm does. A wrong configuration is raised: it
    fails for everybody.
    """
    try:
        result = notifier.send(to, **values)
    except ImproperlyConfigured:
        raise
    except Exception as error:
        # Whatever a mailer of the project raises; its text may hold an address.
        logger.error("a %s mail was not sent: %s", notifier.kind, type(error).__name__)
        return
    if not result:
        failure = getattr(result, "failure", None)
        reason = failure.reason if failure is not None else "unknown"
        logger.error("a %s mail was not sent: %s", notifier.kind, reason)
