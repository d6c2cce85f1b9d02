from __future__ import annotations

import io
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import Error, InterfaceError, ProgrammingError
from pytest_django.fixtures import Settings

from django_authmail.clock import db_now
from django_authmail.models import WebhookAttempt, WebhookDelivery
from django_authmail.outbox import queue
from django_authmail.outbox.intake import Intake
from django_authmail.secret import Secret
from django_authmail.webhooks import (
    courier,
    deliveries,
    endpoints,
    places,
    posting,
    sending,
    settlement,
    verify,
    verify_s0,
)
from django_authmail.webhooks.callbacks import Callback
from django_authmail.webhooks.courier import Courier
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import accepted
from tests.webhooks.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a caller's own secret, in words"


def deliver() -> int:
    return Courier(4).run(threading.Event(), until_empty=True)


def make_due() -> None:
    WebhookDelivery.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))


def one_due_to_each_of(hosts: int, receiver: Receiver) -> None:
    """Have so many due, as to names that all lead to one receiver."""
    row, _ = endpoints.create(receiver.url)
    for number in range(hosts):
        delivery = endpoints.send_test(row.pk)
        WebhookDelivery.objects.filter(pk=delivery.pk).update(host=f"{number}.example.com")


def sent_mail(callback: Callback | None = None) -> None:
    row = queue.submit(auth_message(), intake=Intake(callback=callback), request_id="r-7")
    claim = queue.claim(row.id)
    assert claim is not None
    queue.settle(claim, accepted(claim), carrier="default")


def test_an_endpoint_gets_what_happened_signed_by_every_secret(receiver: Receiver) -> None:
    row, old = endpoints.create(receiver.url)
    new = endpoints.rotate(row.pk, overlap=timedelta(hours=1))
    sent_mail()
    assert deliver() == 1
    [received] = receiver.received
    for secret in (old, new):
        assert verify(received.body, received.headers, [secret])["type"] == "email.accepted"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["X-Request-ID"] == "r-7"
    assert "X-Email-Service-Timestamp" not in received.headers
    assert WebhookDelivery.objects.get().state == "delivered"


def test_a_request_s_own_gets_s0_s_body_and_signature(receiver: Receiver) -> None:
    sent_mail(Callback(url=Secret(receiver.url), secret=Secret(SECRET)))
    deliver()
    [received] = receiver.received
    assert verify_s0(received.body, received.headers, SECRET)["status"] == "delivered"
    assert verify(received.body, received.headers, [SECRET])["type"] == "email.accepted"
    assert "X-Email-Service-Signature" not in received.headers


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    sent_mail(Callback(url=Secret(receiver.url)))
    deliver()
    [received] = receiver.received
    assert received.headers["webhook-id"]
    assert [name for name in received.headers if "signature" in name.lower()] == []


def test_the_id_is_the_same_and_the_time_another_at_every_attempt(receiver: Receiver) -> None:
    receiver.statuses = [500, 503]
    sent_mail(Callback(url=Secret(receiver.url), secret=Secret(SECRET)))
    for _ in range(3):
        deliver()
        make_due()
    assert list(receiver.ids.values()) == [3]
    assert len({received.body for received in receiver.received}) == 1
    statuses = WebhookAttempt.objects.values_list("status_code", flat=True)
    assert list(statuses) == [500, 503, 204]


def test_a_redirect_is_a_failure_and_not_followed(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [302], {"Location": receiver.url}
    sent_mail(Callback(url=Secret(receiver.url)))
    deliver()
    assert len(receiver.received) == 1
    row = WebhookDelivery.objects.get()
    assert (row.state, row.reason, row.status_code) == ("pending", "redirect", 302)


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [429], {"Retry-After": "120"}
    sent_mail(Callback(url=Secret(receiver.url)))
    deliver()
    assert 115 < (deliveries.seconds_until_due() or 0) <= 144


def test_nobody_there_is_tried_again(receiver: Receiver) -> None:
    with receiving() as gone:
        url = gone.url
    sent_mail(Callback(url=Secret(url)))
    deliver()
    row = WebhookDelivery.objects.get()
    assert (row.state, row.reason, row.status_code) == ("pending", "connection_refused", None)


# By its other name it is another host.
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another host", "the same host"])
def test_a_slow_receiver_delays_no_other(receiver: Receiver, host: str) -> None:
    released = threading.Event()
    receiver.before = released.wait
    slow, _ = endpoints.create(receiver.url)
    with receiving() as quick:
        quick.before = released.set
        quick_url = quick.url.replace("127.0.0.1", host)
        for _ in range(5):
            endpoints.send_test(slow.pk)
        fast, _ = endpoints.create(quick_url)
        endpoints.send_test(fast.pk)
        # It ends: the quick one was served while the slow one was under way.
        assert deliver() == 6
        assert len(quick.received) == 1
    assert receiver.most_at_once <= places.PLACES
    assert len(receiver.received) == 5


@pytest.mark.parametrize(
    ("slow_tried", "tried"),
    [(0, 0), (1, 0), (0, 1), (1, 1)],
    ids=[
        "first attempts delay no first attempt",
        "what was tried before delays no first attempt",
        "first attempts do not delay what was tried before",
        "what was tried before does not delay what was, too",
    ],
)
def test_slow_hosts_that_take_all_of_the_width_delay_nothing_to_another(
    receiver: Receiver, slow_tried: int, tried: int
) -> None:
    released = threading.Event()
    in_time: list[bool] = []
    receiver.before = lambda: in_time.append(released.wait(10))
    slow, _ = endpoints.create(receiver.url)
    for number in range(6):
        delivery = endpoints.send_test(slow.pk)
        # As names that all lead to one receiver.
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            host=f"{number // 2}.example.com", attempt_count=slow_tried
        )
    with receiving() as quick:
        quick.before = released.set
        other, _ = endpoints.create(quick.url)
        delivery = endpoints.send_test(other.pk)
        WebhookDelivery.objects.filter(pk=delivery.pk).update(attempt_count=tried)
        assert deliver() == 7
        assert len(quick.received) == 1
    # The quick one was served while the others hung.
    assert in_time == [True] * 6


def test_beside_slow_ones_no_more_are_sent_than_a_process_is_meant_to_have(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SLOW_AFTER", 0.0)
    together = threading.Barrier(sending.MOST, timeout=60)
    receiver.before = together.wait
    one_due_to_each_of(2 * sending.MOST, receiver)
    assert Courier(1).run(threading.Event(), until_empty=True) == 2 * sending.MOST
    assert receiver.most_at_once == sending.MOST
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert [t for t in threading.enumerate() if t.name == "authmail-sender"] == []


def test_where_the_system_gives_few_threads_these_send_and_the_rest_waits(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one_due_to_each_of(6, receiver)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        alive = [other.name for other in threading.enumerate()]
        if thread.name == "authmail-sender" and alive.count(thread.name) >= given:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    given = 1
    # Of the first four one has a thread; then they are claimed one by one.
    assert deliver() == 6
    assert len(receiver.received) == 3
    assert caplog.text.count("webhook.few_threads threads=1") == 1
    # No attempt was counted that was not made.
    left = WebhookDelivery.objects.filter(state="pending", attempt_count=0, place=None)
    assert left.count() == 3
    given = 0
    make_due()
    deliver()
    assert left.count() == 3
    given = 4
    make_due()
    deliver()
    assert list(receiver.ids.values()) == [1] * 6


def test_a_courier_that_gets_no_thread_takes_one_look_and_waits(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one_due_to_each_of(20, receiver)
    start, stop = threading.Thread.start, threading.Event()
    pauses: list[int] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "authmail-sender" and not pauses:
            raise RuntimeError("can't start new thread")
        start(thread)

    def pause(seconds: float) -> None:
        pauses.append(WebhookDelivery.objects.filter(due_at__lte=db_now("default")).count())
        stop.set()

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(stop, "wait", pause)
    assert Courier(4).run(stop) == 4
    # The others were left to couriers that have threads.
    assert pauses == [16]
    assert caplog.text.count("webhook.few_threads threads=0") == 1
    assert receiver.received == []


def test_a_process_that_is_woken_remembers_that_it_gets_no_thread(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one_due_to_each_of(courier.WIDTH + 3, receiver)
    background, start = courier._Background(), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "authmail-sender":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(2):
        background.wake()
        assert background._thread is not None
        background._thread.join()
    # The others were left to processes that have threads.
    assert WebhookDelivery.objects.filter(due_at__lte=db_now("default")).count() == 3
    assert caplog.text.count("webhook.few_threads threads=0") == 1


def test_a_process_that_gets_no_thread_for_its_courier_says_so_and_is_woken_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    background = courier._Background()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        background.wake()
    assert caplog.text.count("webhook.few_threads threads=0") == 1
    background.wake()
    background.stop(60)
    assert len(receiver.received) == 1


def test_a_courier_of_one_thread_tries_again(receiver: Receiver) -> None:
    receiver.statuses = [500]
    sent_mail(Callback(url=Secret(receiver.url)))
    for _ in range(2):
        Courier(1).run(threading.Event(), until_empty=True)
        make_due()
    assert WebhookDelivery.objects.get().state == "delivered"


def test_many_go_to_a_receiver_one_or_two_at_a_time(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(40):
        endpoints.send_test(row.pk)
    assert deliver() == 40
    assert len(receiver.ids) == 40
    assert receiver.most_at_once <= places.PLACES


def test_a_courier_that_is_stopped_finishes_what_it_has_in_hand(receiver: Receiver) -> None:
    stop = threading.Event()
    receiver.before = stop.set
    row, _ = endpoints.create(receiver.url)
    for _ in range(5):
        endpoints.send_test(row.pk)
    done = Courier(1).run(stop)
    assert done == 1
    states = list(WebhookDelivery.objects.values_list("state", flat=True))
    assert sorted(states) == ["delivered", *["pending"] * 4]


def test_a_process_that_ends_after_it_was_woken_sends_what_it_can(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(3):
        endpoints.send_test(row.pk)
    stop = threading.Event()
    stop.set()
    assert Courier(8).run(stop, until_empty=True) == places.PLACES


def test_a_courier_that_lingers_sends_what_is_due_in_a_moment(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery = endpoints.send_test(row.pk)
    soon = db_now("default") + timedelta(seconds=0.4)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(due_at=soon)
    assert deliver() == 0
    assert Courier(1).run(threading.Event(), until_empty=True, linger=5) == 1


def test_a_database_that_fails_is_asked_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    told: list[Error] = []
    claim_due, stop = deliveries.claim_due, threading.Event()

    def fail_once(limit: int, **options: Any) -> list[deliveries.Claim]:
        if not told:
            raise InterfaceError("gone")
        return claim_due(limit, **options)

    monkeypatch.setattr(deliveries, "claim_due", fail_once)
    receiver.before = stop.set
    began = time.monotonic()
    Courier(1, on_trouble=told.append).run(stop)
    assert [str(error) for error in told] == ["gone"]
    assert len(receiver.received) == 1
    assert time.monotonic() - began < 10


def test_what_is_in_hand_is_settled_though_no_more_can_be_claimed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    released, stop = threading.Event(), threading.Event()
    receiver.before = released.wait
    claim_due = deliveries.claim_due
    patiences: list[float] = []

    def fail_after_the_first(limit: int, **options: Any) -> list[deliveries.Claim]:
        patiences.append(options["patience"])
        if len(patiences) == 1:
            return claim_due(limit, **options)
        released.set()
        if len(patiences) > 100:
            stop.set()
        raise ProgrammingError("no such column")

    monkeypatch.setattr(deliveries, "claim_due", fail_after_the_first)
    with pytest.raises(ProgrammingError):
        Courier(2).run(stop)
    assert WebhookDelivery.objects.get().state == "delivered"
    # Whatever is in hand does not wait for the database as long as one that has nothing to do.
    assert patiences[0] > 10
    assert patiences[1] < 2


def test_one_whose_outcome_cannot_be_recorded_keeps_no_other_s_from_being(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, _ = endpoints.create(receiver.url)
    broken, other = endpoints.send_test(row.pk), endpoints.send_test(row.pk)
    WebhookAttempt.objects.create(
        delivery=broken, number=1, started_at=db_now("default"), duration_ms=1, reason="ok"
    )
    # Both are settled together, however long one takes.
    monkeypatch.setattr(courier, "GATHERING", 30.0)
    assert deliver() == 2
    broken.refresh_from_db()
    other.refresh_from_db()
    assert (broken.state, other.state) == ("sending", "delivered")
    [line] = [each for each in caplog.messages if each.startswith("webhook.not_recorded")]
    assert str(broken.pk) in line
    assert "error=IntegrityError" in line


def test_what_can_never_be_recorded_is_sent_as_often_as_the_schedule_says(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (5, 300)
    row, _ = endpoints.create(receiver.url)
    delivery = endpoints.send_test(row.pk)

    def refuse(*args: object, **options: object) -> None:
        raise ProgrammingError("no such column")

    monkeypatch.setattr(settlement, "settle_many", refuse)
    for _ in range(5):
        deliver()
        make_due()
    assert list(receiver.ids.values()) == [3]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("failed", "outcome_lost")


def test_an_error_of_this_program_is_an_attempt_that_failed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery = endpoints.send_test(row.pk)

    def fail(*args: object, **options: object) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(posting, "post", fail)
    assert deliver() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason, delivery.attempt_count) == ("pending", "error", 1)
    assert WebhookAttempt.objects.get().reason == "error"
    assert f"webhook.error id={delivery.pk} " in caplog.text
    assert "error=LookupError" in caplog.text


def test_what_is_configured_wrong_costs_no_attempt(receiver: Receiver, settings: Settings) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery = endpoints.send_test(row.pk)
    settings.AUTHMAIL_WEBHOOK_CA_FILE = "/nonexistent"
    assert deliver() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt_count) == ("pending", 0)
    # In a while, and not at once: it needs a person.
    assert (deliveries.seconds_until_due() or 0) > 10


def test_a_courier_that_was_woken_ends_while_others_have_the_places_of_a_busy_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(5):
        endpoints.send_test(row.pk)
    claim_due, stop = deliveries.claim_due, threading.Event()
    theirs = claim_due(5)
    assert len(theirs) == places.PLACES
    looks: list[float] = []

    def look(limit: int, **options: Any) -> list[deliveries.Claim]:
        looks.append(time.monotonic())
        if len(looks) > 20:
            stop.set()
        return claim_due(limit, **options)

    monkeypatch.setattr(deliveries, "claim_due", look)
    assert Courier(4).run(stop, until_empty=True, linger=3) == 0
    assert not stop.is_set()
    # One look each half a second at most: it is no busy loop while it waits.
    assert looks[-1] - looks[0] > (len(looks) - 1) * 0.45


def test_what_was_woken_before_it_was_stopped_does_its_round(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    background = courier._Background()
    begin = background._run

    def stopped_first() -> None:
        background._stop.set()
        begin()

    monkeypatch.setattr(background, "_run", stopped_first)
    background.wake()
    background.stop(60)
    assert len(receiver.received) == 1
    background.wake()
    assert not background._is_running


def test_a_process_that_ends_waits_as_long_as_an_attempt_may_take(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_WEBHOOK_TIMEOUT = timedelta(seconds=9)
    waited: list[float] = []
    monkeypatch.setattr(courier._background, "stop", waited.append)
    courier.stop()
    assert 9 < waited[0] <= 12


def test_a_receiver_that_fails_for_an_hour_loses_nothing(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    ids = {f"msg_{endpoints.send_test(row.pk).pk.hex}" for _ in range(10)}
    # As often as the schedule comes to it within an hour: at once, after 5 s, 5 min and 30 min.
    receiver.statuses = [500] * 40
    for _ in range(4):
        deliver()
        make_due()
    assert not WebhookDelivery.objects.filter(state="delivered").exists()
    deliver()
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert receiver.ids.keys() == ids
    assert set(receiver.ids.values()) == {5}


def test_log_lines_name_the_mail_and_what_the_receiver_sees(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="django_authmail")
    endpoints.create(receiver.url)
    sent_mail()
    deliver()
    row = WebhookDelivery.objects.get()
    [line] = [each for each in caplog.messages if each.startswith("webhook.delivered")]
    assert f" webhook_id={receiver.received[0].id} message={row.message_id} " in line
    assert "request_id=r-7" in line


def test_without_its_client_what_is_due_is_left_to_others_and_counted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints.create(receiver.url)
    sent_mail()
    sent_mail()
    out = io.StringIO()
    with monkeypatch.context() as without:
        # None in sys.modules is Python's own mark of a module that cannot be imported.
        without.setitem(sys.modules, "httpcore2", None)
        call_command("authmail_dispatch", "--once", stdout=out)
    assert "2 webhooks: not sent, install django-authmail[webhooks]." in out.getvalue()
    assert "webhook.not_sent due=2 install=django-authmail[webhooks]" in caplog.text
    # Nobody has its lease: who can send takes it at once.
    assert deliver() == 2
