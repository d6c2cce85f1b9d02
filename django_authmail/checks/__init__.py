"""What `manage.py check` says about a project's settings before the first mail fails.

Ids are public: never reused, each with one test. No check opens a connection or runs a query.

    E001  a setting of the wrong type or range      W001  an AUTHMAIL_* name that does not exist
    E002  no usable From address                    W002  a short API key
    E003  a line break in the From address          W003  a password without TLS, allowed by name
    E004  a mailer without a host                   W004  a port that does not fit the TLS mode
    E005  both TLS modes                            W005  metrics without prometheus-client
    E006  a password without TLS                    W006  no beat entry for the sweep
    E007  a user without a password, or the reverse W007  the API's docs without their static files
    E008  a carrier that cannot carry queued mail   W008  MAILERS, which this Django does not read
                                                    W009  webhooks without their HTTP client
                                                    W010  a quota of a mailer that does not exist
    E009  AUTHMAIL_CELERY without celery, or without what its broker needs
    E010  USE_TZ = False
    E011  AUTHMAIL_CELERY without a broker
    E012  a certificate file that cannot be read
    E013  an option of a mailer that does not exist
    E014  a preset that does not exist
    E015  a mailer that queues, with an option that cannot be used, or without what it needs
    E016  a host or port of a mailer that is none
    E020  an entry of AUTHMAIL_NOTIFIERS that is no notifier
                                                    W020  a link path for a kind that is none
                                                    W021  {token} in the path of one without it

With --deploy:

    E101  a short API key                           W102  metrics for everybody
    E104  mails go to a folder, not to a server     W103  the SMTP dialogue is logged
    E105  webhooks may reach this machine           W106  the API's docs are open
    E108  a broker that loses tasks                 W107  a cache that does not count for all
                                                    W109  SQLite without transaction_mode IMMEDIATE
                                                    W110  each process counts for itself
                                                    W111  a proxy that nobody counts
                                                    W112  webhooks may go by http
                                                    W113  webhooks have the replayable signature
                                                    W114  a cache without a timeout
"""

from __future__ import annotations

from collections.abc import Mapping

from django.core import checks

from django_authmail.checks.accounts import check_files, check_mailers
from django_authmail.checks.carriers import check_carriers, check_queues, check_quotas
from django_authmail.checks.deploy import check_deployed_services, check_deployed_settings
from django_authmail.checks.found import TAG, saying
from django_authmail.checks.kinds import check_kinds
from django_authmail.checks.queues import check_celery
from django_authmail.checks.settings import check_requirements, check_sender, check_settings

__all__ = ["TAG", "register"]


def register(words: Mapping[str, str]) -> None:
    """Register every check with Django; what they say has `words` in place of its own."""
    for check in (
        check_settings,
        check_sender,
        check_mailers,
        check_files,
        check_carriers,
        check_queues,
        check_quotas,
        check_celery,
        check_requirements,
        check_kinds,
    ):
        checks.register(saying(words, check), TAG)
    for check in (check_deployed_settings, check_deployed_services):
        checks.register(saying(words, check), TAG, checks.Tags.security, deploy=True)
