"""The service with its limits in Memcached, where MEMCACHED says."""

import os

from example_project.settings import *  # noqa: F403 - settings modules are made to be extended so

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": os.environ.get("MEMCACHED", ""),
        # Patient: a machine that is busy must not look like a cache that is down.
        "OPTIONS": {"connect_timeout": 30, "timeout": 30},
    }
}
