"""Send so that no page can tell, from a failure, whether an address has an account."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_authmail.logs import log_line
from django_authmail.notifiers import Notifier

logger = logging.getLogger(__name__)


def send_unseen(notifier: Notifier, to: str, **values: Any) -> None:
    """Send a mail that the one who asked may not be entitled to know of.

    A page that fails only where there is an account would tell that there is one. What goes wrong
    is logged instead, as Django's own PasswordResetForm does; the notifier logs what it does not
    raise. A wrong configuration is raised: it
    fails for everybody.
    """
    try:
        notifier.send(to, **values)
    except ImproperlyConfigured:
        raise
    except Exception as error:
        # Whatever a mailer of the project raises; its text may hold an address.
        facts = {"type": notifier.kind, "error": type(error).__name__}
        log_line(logger, logging.ERROR, "notifier.not_sent", **facts)
