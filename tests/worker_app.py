"""The Celery app of the worker processes that tests start."""

import json
import os

import django
from celery import Celery

django.setup()

app = Celery("authmail-tests", broker=os.environ["WORKER_BROKER_URL"], set_as_current=True)
app.conf.broker_transport_options = json.loads(os.environ["WORKER_BROKER_OPTIONS"])
app.conf.broker_transport = os.environ["WORKER_BROKER_TRANSPORT"] or None
app.conf.task_default_queue = os.environ["WORKER_QUEUE"]
app.conf.worker_enable_remote_control = False
app.set_default()
app.autodiscover_tasks(["django_authmail"])
