"""No caller of the API makes this server connect to where it must not: each way is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from django_authmail.models import Message
from tests.api.conftest import OTP, Api
from tests.webhooks import hostile
from tests.webhooks.internet import PUBLIC, Internet, small_internet
from tests.webhooks.scripted import Receiver, listening

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return small_internet(monkeypatch)


@pytest.fixture
def listener(settings: Settings, internet: Internet) -> Iterator[Receiver]:
    """What listens on this machine; nothing but its address keeps a webhook from it."""
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    with listening() as receiver:
        settings.AUTHMAIL_WEBHOOK_ALLOW_HTTP = True
        settings.AUTHMAIL_WEBHOOK_PORTS = (receiver.port,)
        yield receiver
        assert receiver.connections == 0
    assert internet.connects == []
    assert not Message.objects.exists()


def refuse(api: Api, url: str) -> str:
    response = api.post(body={**OTP, "webhook_url": url})
    body = response.json()
    # A URL that is no text at all is no member of the body to begin with.
    assert response.status_code == 422, url
    assert body["code"] in ("webhook_url_refused", "validation_error"), url
    assert [fault["pointer"] for fault in body["errors"]] == ["/webhook_url"], url
    return str(body["code"])


def test_addresses(api: Api, listener: Receiver) -> None:
    codes = {refuse(api, f"http://{each}:{listener.port}/") for each in hostile.ADDRESSES}
    assert codes == {"webhook_url_refused"}


def test_hosts(api: Api, listener: Receiver) -> None:
    codes = {refuse(api, f"http://{each}:{listener.port}/") for each in hostile.HOSTS}
    assert codes == {"webhook_url_refused"}


def test_urls(api: Api, listener: Receiver) -> None:
    for form in hostile.URLS:
        refuse(api, form.replace("{host}", f"127.0.0.1:{listener.port}"))


def test_names(api: Api, listener: Receiver, internet: Internet) -> None:
    for name, addresses in hostile.NAMES.items():
        internet.answers[name] = [addresses]
        assert refuse(api, f"http://{name}:{listener.port}/") == "webhook_url_refused"


def test_a_name_of_the_network_is_answered_as_one_that_does_not_exist(
    api: Api, listener: Receiver, internet: Internet
) -> None:
    internet.answers["vault.internal"] = [["10.0.0.7"]]
    internet.answers["both.internal"] = [[PUBLIC, "10.0.0.7"]]
    answers = []
    for name in ("vault.internal", "both.internal", "nothing.internal"):
        body = api.post(body={**OTP, "webhook_url": f"https://{name}/"}).json()
        answers.append({**body, "request_id": ""})
    assert answers[0] == answers[1] == answers[2]
