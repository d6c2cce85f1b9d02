"""A worker's settings, with limits for a recipient that one request uses up."""

from datetime import timedelta

from tests.worker_settings import *  # noqa: F403 - settings modules are made to be extended so

AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
