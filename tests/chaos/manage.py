"""`manage.py` of a project that has a Celery app: `python -m tests.chaos.manage COMMAND`."""

import sys

from django.core.management import execute_from_command_line

import tests.chaos.project  # noqa: F401 - it makes itself the current app

execute_from_command_line(sys.argv)
