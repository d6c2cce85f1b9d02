"""`manage.py authmail_webhook`: endpoints made, tested against a receiver, switched, sent again."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import localtime
from pytest_django.fixtures import Settings

from django_authmail import keyring
from django_authmail.clock import db_now
from django_authmail.keyring import Terms
from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.sealing import seal
from django_authmail.webhooks import endpoints, verify
from django_authmail.webhooks.courier import Courier
from tests.webhooks.rows import meanwhile
from tests.webhooks.scripted import Receiver, listening

pytestmark = pytest.mark.django_db(transaction=True)

SERVER_ERROR = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
State = WebhookDelivery.State


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A receiver on this machine, which webhooks may go to, and which answers 200."""
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    with listening() as running:
        yield running


def run(*arguments: str) -> tuple[str, str]:
    """Return what the command prints, and what it says beside."""
    out, err = io.StringIO(), io.StringIO()
    call_command("authmail_webhook", *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value)


def delivery(endpoint: WebhookEndpoint | None, state: State, **changes: object) -> WebhookDelivery:
    now = db_now("default")
    values: dict[str, object] = {
        "endpoint": endpoint, "type": "email.accepted", "host": "127.0.0.1", "state": state,
        "sealed_payload": None if endpoint is None else seal(b'{"type": "email.accepted"}'),
        "created_at": now, "settled_at": now,
    }  # fmt: skip
    return WebhookDelivery.objects.create(**values | changes)


def deliver() -> int:
    return Courier(4).run(threading.Event(), until_empty=True)


# -- create and list -------------------------------------------------------------------------


def test_makes_an_endpoint_and_prints_its_secret_alone(receiver: Receiver) -> None:
    secret, said = run("create", receiver.url, "--description", "shop", "--event", "email.failed")
    assert re.fullmatch(r"whsec_[\w+/=]+", secret)
    row = WebhookEndpoint.objects.get()
    assert (row.url, row.description, row.event_types) == (receiver.url, "shop", ["email.failed"])
    assert f"Secret of endpoint {row.pk}, {receiver.url}. It is not shown again." in said
    assert secret not in said
    listed, _ = run("list")
    assert listed == f"{row.pk}  enabled  {receiver.url}  [email.failed]  shop"
    assert secret not in run("list", "--json")[0]


def test_prints_json_for_programs(receiver: Receiver) -> None:
    made = json.loads(run("create", receiver.url, "--json")[0])
    assert made.pop("secret").startswith("whsec_")
    assert [made] == json.loads(run("list", "--json")[0])
    assert made["enabled"] is True
    assert made["event_types"] == []


def test_warns_of_a_second_endpoint_with_the_same_url(receiver: Receiver) -> None:
    assert "Warning" not in run("create", receiver.url)[1]
    first = WebhookEndpoint.objects.get()
    said = run("create", receiver.url)[1]
    assert "Warning: this URL is that of another endpoint too" in said
    assert f"other events: {first.pk} (made at 20" in said
    assert "Warning" not in run("create", f"{receiver.url}/2")[1]


def test_says_how_to_begin_where_there_is_none() -> None:
    assert run("list") == (
        "",
        "There are no endpoints. Make one: manage.py authmail_webhook create URL",
    )


def test_refuses_a_url_that_webhooks_must_not_go_to() -> None:
    text = refused("create", "https://127.0.0.1/hook")
    assert text.startswith("Nothing was made: the webhook's URL leads to no address")
    assert "AUTHMAIL_WEBHOOK_ALLOW_HOSTS" in text
    assert not WebhookEndpoint.objects.exists()


def test_refuses_an_event_that_there_is_not(receiver: Receiver) -> None:
    assert "no type of an event: email.opened; there are: email.accepted" in refused(
        "create", receiver.url, "--event", "email.opened"
    )


def test_an_endpoint_can_be_for_the_mails_of_one_key(receiver: Receiver) -> None:
    key, _ = keyring.issue("shop", Terms())
    run("create", receiver.url, "--owner", f"{key.prefix}…")
    run("create", receiver.url, "--owner", str(key.pk))
    run("create", receiver.url, "--owner", "site")
    owners = WebhookEndpoint.objects.order_by("created_at").values_list("owner", flat=True)
    assert list(owners) == [f"key:{key.holder}", f"key:{key.holder}", "site"]
    assert f"[all events of key:{key.holder}]" in run("list")[0]
    for owner in ("am_live_", "nobody", str(uuid.uuid4())):
        assert "no keys have this prefix or id" in refused("create", receiver.url, "--owner", owner)


# -- test ------------------------------------------------------------------------------------


def test_a_test_says_what_the_receiver_answered_and_when(receiver: Receiver) -> None:
    row, secret = endpoints.create(receiver.url)
    said, beside = run("test", str(row.pk))
    assert re.fullmatch(r"Delivered: 200 after \d+ ms\.", said)
    assert beside == f"Sending webhook.test to {receiver.url}"
    [request] = receiver.requests
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert verify(body, headers, [secret])["data"] == {"endpoint": str(row.pk)}


def test_a_test_that_fails_says_what_to_do(receiver: Receiver) -> None:
    endpoints.create(receiver.url, description="shop")
    receiver.answers(SERVER_ERROR)
    text = refused("test", "shop")
    assert re.match(r"Not delivered: 500 after \d+ ms \(http_status\)\. The receiver failed", text)
    assert re.search(r"It is tried again at \d\d:\d\d:\d\d UTC\.$", text)


def test_a_test_says_that_nobody_is_there(settings: Settings) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = ()
    with listening() as gone:
        url = gone.url
    endpoints.create(url)
    text = refused("test", url)
    assert re.match(r"Not delivered: No answer after \d+ ms \(connection_refused\)\. Nobody", text)
    assert "tried again" not in text


def test_a_test_shows_that_it_waits(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    shown = threading.Event()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            if "1 s: sending" in text:
                shown.set()
            return super().write(text)

    def script(sock: object) -> None:
        shown.wait(10)

    receiver.script = script
    with pytest.raises(CommandError):
        call_command("authmail_webhook", "test", row.pk.hex, stdout=io.StringIO(), stderr=Watched())
    assert shown.is_set()


def test_says_what_to_install_where_the_client_is_missing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints.create(receiver.url, description="shop")
    # None in sys.modules is Python's own mark of a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    for arguments in (("create", receiver.url), ("test", "shop")):
        text = refused(*arguments)
        assert text.startswith("Nothing was done. Sending webhooks needs the package 'httpcore2'")
        assert text.endswith("run: pip install 'django-authmail[webhooks]'")
    assert receiver.connections == 0


def test_a_disabled_endpoint_is_not_tested(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.disable(row.pk)
    text = refused("test", str(row.pk))
    assert text.startswith(f"Nothing was sent. {receiver.url} is disabled; enable it first")
    assert receiver.connections == 0


# -- rotate, enable, disable, delete ---------------------------------------------------------


def test_rotates_and_says_until_when_the_old_one_signs(receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url)
    second, said = run("rotate", str(row.pk), "--overlap-hours", "2")
    assert "The one before signs too for 2 hours: give the receiver both until then." in said
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (second, first)
    third, said = run("rotate", str(row.pk), "--overlap-hours", "0")
    assert "The one before signs no more." in said
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (third,)


def test_says_what_to_do_where_too_many_secrets_sign(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(endpoints.MOST_SECRETS - 1):
        run("rotate", str(row.pk))
    said = refused("rotate", str(row.pk))
    assert "Nothing was done: 10 secrets sign for this endpoint already." in said
    assert "Give --overlap-hours 0, which ends all of them, or wait until 20" in said
    for hours in ("-1", "721", "1" + "0" * 30):
        assert "--overlap-hours must be from 0 to 720." in refused(
            "rotate", str(row.pk), f"--overlap-hours={hours}"
        )
    run("rotate", str(row.pk), "--overlap-hours", "0")


def test_a_secret_that_no_key_opens_can_be_replaced(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    WebhookEndpoint.objects.update(sealed_secrets=b"nonsense")
    assert "give --overlap-hours 0" in refused("rotate", str(row.pk))
    secret, _ = run("rotate", str(row.pk), "--overlap-hours", "0")
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (secret,)


def test_switches_an_endpoint_off_and_on(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    said, beside = run("disable", str(row.pk))
    assert said == f"Disabled: {receiver.url}"
    assert beside.startswith("1 webhook waited for it, and will not be sent. These, and what")
    assert "for 30 days: `enable` it, and then `replay --failed`." in beside
    assert run("disable", str(row.pk))[0] == "It is disabled already; nothing was done."
    assert f"{row.pk}  disabled since 20" in run("list")[0]
    said, beside = run("enable", str(row.pk))
    assert said == f"Enabled: {receiver.url}"
    assert f"replay --endpoint {str(row.pk)[:8]} --failed --since 30d" in beside
    assert run("enable", str(row.pk))[0] == "It is enabled already; nothing was done."


def test_lists_why_and_since_when_one_is_disabled(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.disable(row.pk, reason=endpoints.GONE)
    assert re.search(r"disabled since 20[\d-]+ [\d:]+ UTC \(gone\)", run("list")[0])
    endpoints.enable(row.pk)
    WebhookEndpoint.objects.update(failing_since=db_now("default"))
    assert re.search(r"failing since 20[\d-]+ [\d:]+ UTC  http", run("list")[0])


def test_deletes_an_endpoint_with_what_was_sent_to_it(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery(row, State.DELIVERED)
    assert run("delete", str(row.pk))[0] == f"Deleted: {receiver.url}, and 1 delivery to it."
    assert not WebhookDelivery.objects.exists()


def test_finds_an_endpoint_by_what_people_know_of_it(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url, description="shop")
    for given in (str(row.pk), row.pk.hex, str(row.pk)[:4].upper(), "shop", receiver.url):
        run("disable", given)
    assert "No endpoint has this id" in refused("disable", "elsewhere")
    endpoints.create(receiver.url)
    text = refused("disable", receiver.url)
    first, second = WebhookEndpoint.objects.order_by("created_at")
    assert f"2 endpoints go by this. Give the id: {first.pk} (made at 20" in text
    assert f"UTC), {second.pk} (made at {second.created_at:%Y-%m-%d %H:%M:%S} UTC)" in text


# -- replay ----------------------------------------------------------------------------------


def test_sends_one_again_by_what_its_receiver_calls_it(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    ended = delivery(row, State.DELIVERED)
    said, _ = run("replay", f"msg_{ended.pk.hex}")
    assert said == "1 webhook will be sent again, with the same webhook-id."
    assert deliver() == 1
    assert f"webhook-id: msg_{ended.pk.hex}".encode() in receiver.requests[0]


def test_says_why_one_cannot_be_sent_again(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    why = {
        delivery(None, State.FAILED).pk: "1 of a request's own webhook, whose URL and secret are",
        delivery(row, State.FAILED, sealed_payload=None).pk: "1 without what was posted",
        delivery(row, State.PENDING, due_at=db_now("default"), settled_at=None).pk: "1 on the way",
    }
    for pk, words in why.items():
        err = io.StringIO()
        with pytest.raises(CommandError, match="It was not sent again."):
            call_command("authmail_webhook", "replay", str(pk), stdout=io.StringIO(), stderr=err)
        assert words in err.getvalue()
    assert "is neither an id nor a webhook-id" in refused("replay", "msg_1")
    assert "No delivery has this id" in refused("replay", str(uuid.uuid4()))


def test_sends_those_of_a_time_again(receiver: Receiver) -> None:
    one, _ = endpoints.create(receiver.url, description="one")
    other, _ = endpoints.create(receiver.url, description="other")
    now = db_now("default")
    old = now - timedelta(days=3)
    delivery(one, State.FAILED, created_at=old)
    delivery(one, State.FAILED)
    delivery(one, State.DELIVERED)
    delivery(other, State.FAILED)
    delivery(None, State.FAILED)
    dry = ("replay", "--since", "24h", "--dry-run")
    said, beside = run(*dry)
    assert said == "3 webhooks would be sent again, with the same webhook-id."
    assert beside.startswith("Not sent again: 1 of a request's own webhook")
    day = f"{localtime(old):%Y-%m-%d}"  # as it is read
    assert run("replay", "--since", day, "--dry-run")[0].startswith("4 webhooks would")
    assert run(*dry, "--failed")[0].startswith("2 webhooks would")
    assert run(*dry, "--endpoint", "other")[0].startswith("1 webhook would")
    day = (old - timedelta(hours=1)).isoformat()
    until = (old + timedelta(hours=1)).isoformat()
    assert run("replay", "--since", day, "--until", until, "--dry-run")[0].startswith("1 webhook w")
    assert not WebhookDelivery.objects.filter(due_at__isnull=False).exists()
    assert run("replay", "--since", "24h", "--failed", "--endpoint", "one") == (
        "1 webhook will be sent again, with the same webhook-id.",
        "",
    )
    assert deliver() == 1


def test_sends_what_waits_for_a_later_attempt_now(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    later = {"due_at": db_now("default") + timedelta(hours=5), "settled_at": None}
    one = delivery(row, State.PENDING, reason="http_status", attempt_count=3, **later)
    delivery(row, State.PENDING, reason="", **later)
    delivery(row, State.FAILED, reason="timeout")
    delivery(row, State.DELIVERED)
    chosen = ("replay", "--failed", "--since", "1d")
    said = (
        "1 webhook {} sent again, with the same webhook-id.\n"
        "1 webhook {} sent now, instead of at a later attempt."
    )
    assert run(*chosen, "--dry-run") == (said.format("would be", "would be"), "")
    assert run(*chosen) == (said.format("will be", "will be"), "")
    assert deliver() == 2
    WebhookDelivery.objects.filter(pk=one.pk).update(state=State.PENDING, **later)
    assert run("replay", str(one.pk))[0].startswith("1 webhook will be sent now")


def test_a_replay_says_what_was_deleted_in_that_moment(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    kept, *gone = [delivery(row, State.FAILED) for _ in range(3)]

    def delete(*rows: WebhookDelivery) -> None:
        WebhookDelivery.objects.filter(pk__in=[each.pk for each in rows]).delete()

    with meanwhile("UPDATE", lambda: delete(gone[0])):
        said, beside = run("replay", "--since", "1d")
    assert said.startswith("2 webhooks will be sent again")
    assert beside == "Not sent again: 1 that were deleted in this moment."
    WebhookDelivery.objects.update(due_at=None, state=State.FAILED)
    with meanwhile("UPDATE", lambda: delete(gone[1])):
        assert refused("replay", str(gone[1].pk)) == "It was not sent again."
    assert WebhookDelivery.objects.get() == kept


def test_a_replay_leaves_tests_out_and_says_where_there_is_nothing(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery(row, State.FAILED, type="webhook.test")
    assert run("replay", "--since", "1d") == (
        "0 webhooks will be sent again, with the same webhook-id.",
        "No webhook was chosen: nothing of this time fits.",
    )


def test_what_is_not_sent_again_while_its_endpoint_is_disabled(receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    delivery(row, State.FAILED)
    endpoints.disable(row.pk)
    said, beside = run("replay", "--since", "1d")
    assert said.startswith("0 webhooks will")
    assert beside == "Not sent again: 1 to an endpoint that is disabled: enable it first."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give a DELIVERY, or --since"),
        (("--since", "yesterday"), "--since: 'yesterday' is no time. Write 2026-11-26"),
        (("--since", "2026-02-30"), "--since: '2026-02-30' is no time"),
        (("--since", "1h", "--until", "2h"), "--until must be after --since."),
    ],
)
def test_a_time_must_be_one(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused("replay", *arguments)
