"""What a key for tests does: everything but the hand-over."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from django_authmail import dispatch
from django_authmail.models import Message
from django_authmail.outbox import carriers
from tests.api.conftest import OTP, Api, MakeKey, problem
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(make_key: MakeKey) -> Api:
    return Api(key=make_key(is_test=True)[1])


def test_now_it_is_answered_as_if_it_were_sent(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post()
    body = json.loads(response.content)
    row = Message.objects.get()
    assert response.status_code == 200
    assert body == {
        "sent": True,
        "state": "accepted",
        "id": str(row.pk),
        "message_id": row.message_id,
        "provider_id": "",
        "refused": [],
        "test": True,
    }
    assert smtp_server.mails == []
    assert smtp_server.connections == 0


def test_in_the_background_it_ends_in_its_turn(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post(Prefer="respond-async")
    body = json.loads(response.content)
    assert (response.status_code, body["state"], body["test"]) == (202, "queued", True)
    assert dispatch.dispatch_due() == 1
    shown = json.loads(api.get(f"/messages/{body['id']}").content)
    assert (shown["state"], shown["test"], shown["attempts"]) == ("accepted", True, [])
    assert smtp_server.connections == 0


def test_a_pause_does_not_concern_it(api: Api, make_key: MakeKey) -> None:
    carriers.pause()
    assert api.post().status_code == 200
    problem(Api(key=make_key()[1]).post(), 503, "paused")


def test_it_does_not_use_up_what_a_real_mail_may(
    api: Api, make_key: MakeKey, settings: Settings, smtp_server: SmtpServer
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    assert api.post().status_code == 200
    problem(api.post(), 429, "recipient_cooldown")
    assert Api(key=make_key()[1]).post().status_code == 200
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}], ids=str)
def test_a_live_key_says_nothing_of_tests(
    make_key: MakeKey, smtp_server: SmtpServer, headers: dict[str, str]
) -> None:
    api = Api(key=make_key()[1])
    body = json.loads(api.post(**headers).content)
    assert "test" not in body
    assert json.loads(api.get(f"/messages/{body['id']}").content)["test"] is False


def test_bad_input_is_refused_as_ever(api: Api) -> None:
    problem(api.post(body={**OTP, "code": ""}), 422, "validation_error")
