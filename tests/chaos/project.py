"""The Celery app of a storm's processes."""

import os

import django
from celery import Celery

from django_authmail.schedule import beat_schedule

django.setup()

app = Celery("authmail-chaos", broker=os.environ["CHAOS_BROKER_URL"], set_as_current=True)
app.conf.task_default_queue = os.environ["CHAOS_QUEUE"]
app.conf.worker_enable_remote_control = False
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_connection_max_retries = None
app.conf.beat_schedule = {
    name: entry | {"schedule": 1.0}
    for name, entry in beat_schedule().items()
    if name != "authmail-purge"
}
app.set_default()
app.autodiscover_tasks(["django_authmail"])
