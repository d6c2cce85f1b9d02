from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction

from django_authmail.clock import db_now
from django_authmail.models import Counter
from django_authmail.outbox import counters
from django_authmail.outbox.counters import Limit
from tests.smtp_server import SmtpServer
from tests.workers import worker_environment

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = Limit(key="test:minute", most=5, window=timedelta(minutes=1))
DAY = Limit(key="test:day", most=8, window=timedelta(days=1))


def end_window(key: str) -> None:
    Counter.objects.filter(key=key).update(ends_at=db_now("default"))


def test_grants_up_to_the_limit_and_then_says_how_long_to_wait() -> None:
    grants = [counters.take(MINUTE) for _ in range(5)]
    assert [use.granted for use in grants] == [True] * 5
    assert grants[-1].used == {MINUTE.key: 5}
    refused = counters.take(MINUTE)
    assert not refused.granted
    assert timedelta(seconds=50) < refused.wait <= MINUTE.window
    assert Counter.objects.get().used == 5


def test_a_window_begins_with_the_first_use_and_does_not_move_with_the_next() -> None:
    before = db_now("default")
    first = counters.take(MINUTE)
    second = counters.take(MINUTE)
    assert first.ends_at == second.ends_at
    assert first.ends_at[MINUTE.key] >= before + MINUTE.window


def test_a_window_that_ended_counts_from_zero() -> None:
    counters.take(MINUTE, amount=5)
    assert not counters.take(MINUTE).granted
    end_window(MINUTE.key)
    use = counters.take(MINUTE, amount=2)
    assert use.granted
    assert use.used == {MINUTE.key: 2}


def test_an_amount_that_is_too_much_counts_nothing() -> None:
    counters.take(MINUTE, amount=4)
    assert not counters.take(MINUTE, amount=2).granted
    assert counters.take(MINUTE, amount=1).granted


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_of_nothing_is_an_error(amount: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        counters.take(MINUTE, amount=amount)


def test_a_limit_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        counters.take(Limit(key="test:none", most=0, window=timedelta(minutes=1)))


def test_what_is_more_than_a_window_takes_a_whole_one() -> None:
    use = counters.take(MINUTE, DAY, amount=7)
    assert use.granted
    assert use.used == {MINUTE.key: 5, DAY.key: 7}
    assert not counters.take(MINUTE, amount=7).granted
    end_window(MINUTE.key)
    assert counters.take(MINUTE, amount=7).granted


def test_several_limits_count_together_or_not_at_all() -> None:
    assert counters.take(MINUTE, DAY, amount=5).granted
    end_window(MINUTE.key)
    assert counters.take(MINUTE, DAY, amount=3).granted
    refused = counters.take(MINUTE, DAY, amount=1)
    assert not refused.granted
    # The minute has room, the day has none: the longer wait is the one that counts.
    assert refused.wait > timedelta(hours=23)
    assert dict(Counter.objects.values_list("key", "used")) == {MINUTE.key: 3, DAY.key: 8}


def test_a_refusal_begins_no_window() -> None:
    counters.take(DAY, amount=8)
    assert not counters.take(MINUTE, DAY).granted
    assert counters.used([MINUTE.key]) == {}


def test_a_use_is_given_back_once_in_the_window_that_counted_it() -> None:
    use = counters.take(MINUTE, DAY, amount=3)
    end_window(MINUTE.key)
    counters.take(MINUTE, amount=3)
    counters.give_back(use)
    # The minute is another one by now, and its uses are not ours.
    assert dict(Counter.objects.values_list("key", "used")) == {MINUTE.key: 3, DAY.key: 0}


def test_a_part_of_a_use_is_given_back() -> None:
    counters.give_back(counters.take(MINUTE, DAY, amount=5), keep=2)
    assert dict(Counter.objects.values_list("key", "used")) == {MINUTE.key: 2, DAY.key: 2}


def test_a_refused_use_gives_nothing_back() -> None:
    counters.take(MINUTE, amount=5)
    counters.give_back(counters.take(MINUTE))
    assert Counter.objects.get().used == 5


def test_filling_a_window_leaves_nothing_of_it() -> None:
    counters.fill(MINUTE)
    assert not counters.take(MINUTE).granted
    use = counters.take(DAY)
    counters.fill(DAY)
    refused = counters.take(DAY)
    assert not refused.granted
    assert refused.ends_at == use.ends_at


def test_a_rollback_of_the_caller_takes_the_use_back() -> None:
    with transaction.atomic():
        counters.take(MINUTE)
        transaction.set_rollback(True)
    assert counters.used([MINUTE.key]) == {}


def test_threads_that_race_from_the_first_use_on_get_exactly_the_limit() -> None:
    both = (
        Limit(key="test:a", most=10, window=timedelta(minutes=5)),
        Limit(key="test:b", most=7, window=timedelta(minutes=5)),
    )
    barrier = threading.Barrier(4)

    def use_it(number: int) -> int:
        # Half of them name the limits the other way round: they must not wait for each other.
        limits = both if number % 2 else both[::-1]
        barrier.wait(10)
        try:
            return sum(counters.take(*limits).granted for _ in range(4))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use_it, range(4))) == 7
    assert dict(Counter.objects.values_list("key", "used")) == {"test:a": 7, "test:b": 7}


_USER = """
import django; django.setup()
from datetime import timedelta
from django_authmail.outbox.counters import Limit, take
limit = Limit(key="test:processes", most=25, window=timedelta(minutes=5))
print(sum(take(limit, amount=2).granted for _ in range(10)))
"""


def test_processes_that_race_get_exactly_the_limit(smtp_server: SmtpServer) -> None:
    command = [sys.executable, "-c", _USER]
    environment = worker_environment(smtp_server)
    users = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    granted = [int(user.communicate(timeout=60)[0]) for user in users]
    # Of 25, each took 2: one is left that nobody could use.
    assert sum(granted) == 12
    assert Counter.objects.get().used == 24
