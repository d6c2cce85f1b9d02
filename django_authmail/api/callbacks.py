"""Where a request wants its outcome to be sent to."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_authmail.api.problems import Fault, Problem
from django_authmail.exceptions import WebhookUrlRefused
from django_authmail.extras import installed
from django_authmail.secret import Secret
from django_authmail.webhooks import targets
from django_authmail.webhooks.callbacks import Callback

_WITHOUT_EXTRA = _(
    "Whoever runs this service can install django-authmail[webhooks]. Until then, leave "
    "`webhook_url` and `webhook_secret` out."
)


@sensitive_variables()
def callback_of(given: dict[str, Any]) -> Callback | None:
    """Return where the outcome is to be sent to, if anywhere.

    Raises:
        Problem: webhook_url_refused.
    """
    if "webhook_url" not in given:
        return None
    if not installed("httpcore2"):
        problem = "is of no use: this service was installed without webhooks"
        fault = Fault.at("webhook_url", problem)
        raise Problem("webhook_url_refused", faults=[fault], hint=_WITHOUT_EXTRA)
    try:
        url = targets.check(given["webhook_url"]).url
    except WebhookUrlRefused as error:
        problem = error.problem
    else:
        return Callback(url=Secret(url), secret=Secret(given.get("webhook_secret", "")))
    # Outside of the block above: an exception in the context would keep the values alive.
    raise Problem("webhook_url_refused", faults=[Fault.at("webhook_url", problem)])
