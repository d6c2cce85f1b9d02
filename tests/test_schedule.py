from __future__ import annotations

import subprocess
import sys

from celery import current_app

from django_authmail import tasks
from django_authmail.schedule import beat_schedule


def test_a_sweep_that_nobody_runs_is_dropped_in_the_end() -> None:
    entry = beat_schedule()["authmail-sweep"]
    assert entry == {"task": tasks.SWEEP, "schedule": 5.0, "options": {"expires": 600.0}}


def test_goes_to_the_queue_that_the_project_names() -> None:
    sweep, webhooks, purge = beat_schedule(queue="mail").values()
    assert sweep["options"] == webhooks["options"] == {"expires": 600.0, "queue": "mail"}
    assert purge["options"] == {"expires": 600.0, "queue": "mail"}


def test_each_entry_is_a_task_that_exists() -> None:
    names = {entry["task"] for entry in beat_schedule().values()}
    assert names == {tasks.SWEEP, tasks.SWEEP_WEBHOOKS, tasks.PURGE} <= current_app.tasks.keys()


def test_can_be_used_where_settings_are_made() -> None:
    code = (
        "import sys; from django_authmail.schedule import beat_schedule; beat_schedule();"
        "assert not any(name.split('.')[0] in ('django', 'celery') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
