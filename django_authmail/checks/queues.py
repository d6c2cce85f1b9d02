"""Checks of how queued mail gets on its way: Celery, its broker, its sweep."""

from __future__ import annotations

from typing import Any

from django_authmail import tasks
from django_authmail.checks.found import Apps, Found, new_error, new_warning
from django_authmail.conf import Conf, conf
from django_authmail.extras import installed, require

_WITHOUT_BROKER = (
    "Or set AUTHMAIL_CELERY = False and run `manage.py authmail_dispatch`, which needs no broker."
)


# What runs by the clock, and what goes wrong without it; the more important first.
_SWEEPS = {
    tasks.SWEEP: f"{tasks.SWEEP!r}: mail that is tried again, or whose task was lost, is not sent.",
    tasks.SWEEP_WEBHOOKS: f"{tasks.SWEEP_WEBHOOKS!r}: a webhook that is tried again, or whose task "
    "was lost, is not sent.",
}

# The app that Celery makes when a project has none.
_FALLBACK_LOADER = "celery.loaders.default"


# Celery's default. Others, as django-celery-beat, keep their entries elsewhere.
_SETTINGS_SCHEDULER = "celery.beat:PersistentScheduler"


_REDIS = ("redis", "rediss", "sentinel")


def check_celery(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether a task would reach a worker, as far as that can be known without connecting."""
    if Conf.celery.problem() or not conf.celery:
        return []
    if not installed("celery"):
        problem = "AUTHMAIL_CELERY is True and celery is not installed."
        hint = f"Run: pip install 'django-authmail[celery]'. {_WITHOUT_BROKER}"
        return [new_error("E009", problem, hint)]
    app = require("celery", extra="celery", why="AUTHMAIL_CELERY").current_app
    if app.conf.task_always_eager:
        return []
    url = tasks.broker_url()
    if not url:
        is_project = type(app.loader).__module__ != _FALLBACK_LOADER
        problem = (
            "AUTHMAIL_CELERY is True and the project's Celery app has no broker_url"
            if is_project
            else "AUTHMAIL_CELERY is True and no Celery app of the project is loaded"
        )
        return [
            new_error(
                "E011",
                f"{problem}: tasks would go to amqp://guest@localhost, Celery's default.",
                f"Set CELERY_BROKER_URL. {_WITHOUT_BROKER}"
                if is_project
                else "Make one in celery.py and import it in the __init__.py beside it, as "
                f"Celery's guide for Django and the README say. {_WITHOUT_BROKER}",
            )
        ]
    found: Found = []
    # The rest of the URL may hold a password.
    scheme = url.partition("://")[0]
    # Without it, its transport fails by an AttributeError.
    lacks_redis = scheme in _REDIS and not installed("redis")
    if cause := "the package redis is not installed" if lacks_redis else _transport_problem(app):
        extra = "django-authmail[redis]" if scheme in _REDIS else f"celery[{scheme}]"
        found.append(
            new_error(
                "E009",
                f"The Celery broker is {scheme}://, which cannot be used: {cause}.",
                f"Run: pip install '{extra}'. {_WITHOUT_BROKER}",
            )
        )
    if app.conf.beat_scheduler == _SETTINGS_SCHEDULER:
        entries = (app.conf.beat_schedule or {}).values()
        scheduled = {entry.get("task") for entry in entries}
        if problem := next((text for name, text in _SWEEPS.items() if name not in scheduled), ""):
            found.append(
                new_warning(
                    "W006",
                    f"No entry of CELERY_BEAT_SCHEDULE names the task {problem}",
                    "Set CELERY_BEAT_SCHEDULE = beat_schedule(), from django_authmail.schedule, "
                    "and run `celery beat`; or run `manage.py authmail_dispatch` beside the "
                    "workers and silence this check.",
                )
            )
    return found


def _transport_problem(app: Any) -> str | None:
    """Say why Celery cannot talk to its broker; None when it can. Opens no connection."""
    try:
        with app.connection_for_write() as connection:
            # A property: reading it imports and makes the transport.
            connection.transport  # noqa: B018
    except ImportError as error:
        return str(error)
    except KeyError as error:  # kombu's answer to an unknown scheme
        return str(error.args[0])
    except Exception as error:
        # What a transport does without its library. (Redis: AttributeError.)
        return f"its library is missing or does not fit ({type(error).__name__})"
    return None
