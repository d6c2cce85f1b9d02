"""The service without its limits: thousands of requests in a minute are to be answered."""

from example_project.settings import *  # noqa: F403 - settings modules are made to be extended so

AUTHMAIL_AUTH_FAILURES_PER_MINUTE = 0
AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
AUTHMAIL_RECIPIENT_LIMITS: list[object] = []
