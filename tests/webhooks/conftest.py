from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.webhooks.receiver import Receiver, receiving


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """Run a receiver of webhooks, which they may go to."""
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    with receiving() as running:
        yield running
