"""The Celery app of a storm's processes."""

import os

import django
from celery import Celery

django.setup()

app = Celery("authmail-chaos", broker=os.environ["CHAOS_BROKER_URL"], set_as_current=True)
app.conf.task_default_queue = os.environ["CHAOS_QUEUE"]
app.conf.worker_enable_remote_control = False
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_connection_max_retries = None
app.conf.beat_schedule = {
    name: {"task": f"authmail.{name}", "schedule": 1.0, "options": {"expires": 5.0}}
    for name in ("sweep", "sweep_webhooks")
}
app.set_default()
app.autodiscover_tasks(["django_authmail"])
