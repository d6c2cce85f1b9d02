"""How a mail names a user of the project, and the browser that asked for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User

from django_authmail.contrib.people import device_of, name_of

_MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("user", "name"),
    [
        pytest.param(User(first_name="길동", last_name="홍"), "홍길동", id="Korean"),
        pytest.param(User(first_name="Alex", last_name="Morgan"), "Alex Morgan", id="English"),
        pytest.param(User(first_name="길동", last_name="Hong"), "길동 Hong", id="both"),
        pytest.param(User(first_name="길동"), "길동", id="no family name"),
        pytest.param(User(username="hong@example.com"), "", id="a login name is no name"),
        pytest.param(SimpleNamespace(), "", id="a model without names"),
        pytest.param(SimpleNamespace(first_name="Alex", last_name=None), "Alex", id="None"),
        pytest.param(SimpleNamespace(get_full_name=lambda: " Alex "), "Alex", id="its own way"),
    ],
)
def test_name(user: object, name: str) -> None:
    assert name_of(user) == name


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        pytest.param(
            f"{_MOZILLA} (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36",
            "Chrome, Windows",
            id="Chrome",
        ),
        pytest.param(
            f"{_MOZILLA} (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge, Windows",
            id="Edge",
        ),
        pytest.param(
            f"{_MOZILLA} (Linux; Android 15; SM-S921N) AppleWebKit/537.36 (KHTML, like Gecko) "
            "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet, Android",
            id="Samsung Internet",
        ),
        pytest.param(
            f"{_MOZILLA} (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Mobile/15E148 KAKAOTALK 11.0.0",
            "KakaoTalk, iPhone",
            id="KakaoTalk",
        ),
        pytest.param(
            f"{_MOZILLA} (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.0 Safari/605.1.15",
            "Safari, Mac",
            id="Safari",
        ),
        pytest.param("curl/8.0", "", id="no browser"),
        pytest.param("Call 1-800 Firefox/now", "Firefox", id="its own words are not repeated"),
        pytest.param("", "", id="none"),
    ],
)
def test_device(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device
