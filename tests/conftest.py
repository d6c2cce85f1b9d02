"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core import mail
from django.core.cache import cache
from django.db import OperationalError, connection, connections
from django.utils import translation
from hypothesis import settings as settings_profile
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_django.fixtures import Settings

from django_authmail import keyring, tasks
from django_authmail.api import counts
from django_authmail.outbox import carriers
from example_project.certificates import ServerCertificate, make_certificate
from tests import smtp_server as servers
from tests.chaos.processes import wait_until
from tests.chaos.servers import PgBouncer
from tests.queries import go_together
from tests.services import require_service
from tests.webhooks.receiver import Receiver, receiving
from tests.workers import Broker, UseBroker

# No test depends on time, and what lands is decided by the same examples each time; people, and
# CI=… unset, search on.
settings_profile.register_profile("authmail", deadline=None, derandomize="CI" in os.environ)
settings_profile.load_profile("authmail")

# What is about a driver that this run does not have.
collect_ignore = [
    *([] if go_together() else ["test_pipeline.py"]),
    *([] if find_spec("MySQLdb") else ["test_faults_of_mysql.py"]),
]

OUR_BACKEND = "django_authmail.smtp.EmailBackend"

UseMailer = Callable[..., None]
LoseAnswer = Callable[[], list[str]]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Make the database; with AUTHMAIL_TEST_PGBOUNCER=1, all that tests start goes by a pool."""
    if os.environ.get("AUTHMAIL_TEST_PGBOUNCER") != "1":
        yield
        return
    # Not below pytest's folders: another account could not reach it there.
    folder = Path(tempfile.mkdtemp(prefix="authmail-pgbouncer-"))
    folder.chmod(0o755)
    pool = PgBouncer(folder, connection.settings_dict)
    try:
        pool.start()
        wait_until(pool.answers, "PgBouncer")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
            patch.setitem(connection.settings_dict, "PORT", str(pool.port))
            patch.setenv("DATABASE_URL", pool.url)
            connection.close()
            yield
            connection.close()
    finally:
        # With its connections, which would keep the database from being dropped.
        pool.end()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    """A throw-away authority and a certificate for localhost."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def use_mailer(settings: Settings) -> UseMailer:
    """Make the default mailer a real one: Django's test runner replaces it by locmem."""

    def use(options: dict[str, Any], backend: str = OUR_BACKEND) -> None:
        # Its mark of a test run; with it, no mailer would reach a server.
        if hasattr(mail, "outbox"):
            del mail.outbox
        if hasattr(mail, "mailers"):
            settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
            return
        settings.EMAIL_BACKEND = backend
        names = {"host": "HOST", "port": "PORT", "username": "HOST_USER"}
        names |= {"password": "HOST_PASSWORD", "use_tls": "USE_TLS", "use_ssl": "USE_SSL"}
        names |= {"timeout": "TIMEOUT"}
        for option, name in names.items():
            if option in options:
                setattr(settings, f"EMAIL_{name}", options[option])
        if "ca_file" in options:
            settings.AUTHMAIL_SMTP_CA_FILE = options["ca_file"]

    return use


@pytest.fixture(autouse=True)
def _memory_is_forgotten() -> None:
    """Let no test go by what the one before had read about carriers and keys, or counted."""
    carriers.forget()
    keyring.forget()
    counts.forget()
    cache.clear()


@pytest.fixture(autouse=True)
def _language_returns() -> Iterator[None]:
    """Forget the language that a request's middleware has left in this thread."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _outbox_returns() -> Iterator[None]:
    """Put the mark of the test run back, where a test used a real mailer."""
    yield
    if not hasattr(mail, "outbox"):
        mail.outbox = []


@pytest.fixture
def smtp_server(
    certificate: ServerCertificate, use_mailer: UseMailer
) -> Iterator[servers.SmtpServer]:
    """A server that wants STARTTLS and a login, and is the default mailer."""
    with servers.running(certificate) as server:
        use_mailer(server.options)
        yield server


@pytest.fixture
def use_mailers(settings: Settings) -> Callable[..., None]:
    """Make real mailers of ours by their names, on every version; mail leaves by them in turn."""

    def use(**mailers: dict[str, Any]) -> None:
        if hasattr(mail, "outbox"):
            del mail.outbox
        settings.MAILERS = {
            name: {"BACKEND": OUR_BACKEND, "OPTIONS": options} for name, options in mailers.items()
        }
        settings.AUTHMAIL_DELIVER_USING = list(mailers)

    return use


@pytest.fixture
def dead_port() -> int:
    """A loopback port where nothing listens."""
    return servers.free_port()


@pytest.fixture
def use_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, queue_name: str
) -> Iterator[UseBroker]:
    """Make a broker that of the current Celery app, on a queue of this test's own."""

    def use(
        url: str, options: dict[str, Any] | None = None, transport: str | None = None
    ) -> Celery:
        app = Celery("authmail-tests", broker=url, set_as_current=True)
        app.conf.broker_transport_options = options or {}
        app.conf.broker_transport = transport
        # Another run of the suite may share the broker; its worker must not take our tasks.
        app.conf.task_default_queue = queue_name
        app.set_default()
        settings.AUTHMAIL_CELERY = True
        monkeypatch.setattr(tasks, "_publisher", tasks._Publisher())
        return app

    yield use
    tasks._publisher.close()


@pytest.fixture
def filesystem_broker(tmp_path: Path) -> Broker:
    """A broker that needs no server, in folders of this test's own."""
    folder, control = tmp_path / "broker", tmp_path / "control"
    folder.mkdir()
    control.mkdir()
    return Broker(
        "filesystem://",
        {
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(control),
            "polling_interval": 0.05,
        },
        "example_project.broker:Transport",
    )


@pytest.fixture
def redis_url() -> str:
    """The URL of a Redis that answers; two runs may share it, so take `queue_name` too."""
    return require_service("redis")


@pytest.fixture
def rabbitmq_url() -> str:
    """The URL of a RabbitMQ that answers; two runs may share it, so take `queue_name` too."""
    return require_service("rabbitmq")


@pytest.fixture
def queue_name() -> str:
    """A queue that no other test and no other run on the same broker reads."""
    return f"authmail-test-{uuid.uuid4().hex}"


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """Run a receiver of webhooks, which they may go to."""
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    with receiving() as running:
        yield running


@pytest.fixture
def lose_answer(monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
    """Let the next COMMIT be done and its answer get lost; what comes back says that it was."""

    def arm() -> list[str]:
        real = connection.commit
        lost: list[str] = []

        def commit() -> None:
            real()
            if not lost:
                lost.append("answer")
                raise OperationalError("the connection broke at COMMIT")

        monkeypatch.setattr(connections["default"], "commit", commit)
        return lost

    return arm


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    # A process has one provider, which cannot be taken back.
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()
