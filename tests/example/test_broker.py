"""The broker in a folder: what one process reads while another writes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from example_project.broker import Channel
from tests.workers import Broker


def channel(broker: Broker) -> Channel:
    """Return what another process would have."""
    connection = Connection(
        broker.url, transport=broker.transport, transport_options=broker.options
    )
    opened = connection.channel()
    assert isinstance(opened, Channel)
    return opened


def test_a_message_is_not_there_before_it_is_whole(filesystem_broker: Broker) -> None:
    writer, reader = channel(filesystem_broker), channel(filesystem_broker)

    class Looking:
        """Looks into the queue while it is written itself."""

        def __json__(self) -> str:
            with pytest.raises(Empty):
                reader._get("one")
            return "looked"

    writer._put("one", {"id": Looking()})
    assert reader._get("one") == {"id": "looked"}


def test_messages_come_in_their_order_and_to_their_queue(filesystem_broker: Broker) -> None:
    writer, reader = channel(filesystem_broker), channel(filesystem_broker)
    for number in range(20):
        writer._put("one" if number % 2 else "two", {"number": number})
    assert [reader._get("one")["number"] for _ in range(10)] == list(range(1, 20, 2))
    assert reader._size("two") == 10
    assert list(filesystem_broker.folder.glob("*.two.msg")) != []
    with pytest.raises(Empty):
        reader._get("one")


def test_those_who_start_at_once_lose_no_binding(filesystem_broker: Broker) -> None:
    parallel, rounds = 4, 50
    barrier = threading.Barrier(parallel)

    def bind(number: int) -> list[Any]:
        mine = channel(filesystem_broker)
        seen = []
        for turn in range(rounds):
            barrier.wait(30)
            mine._queue_bind(f"exchange-{turn}", f"queue-{number}", None, f"queue-{number}")
            seen.append({row.queue for row in mine.get_table(f"exchange-{turn}")})
        return seen

    with ThreadPoolExecutor(parallel) as executor:
        seen = list(executor.map(bind, range(parallel)))
    for number, tables in enumerate(seen):
        assert all(f"queue-{number}" in table for table in tables)
    last = channel(filesystem_broker)
    for turn in range(rounds):
        bound = {row.queue for row in last.get_table(f"exchange-{turn}")}
        assert bound == {f"queue-{number}" for number in range(parallel)}
