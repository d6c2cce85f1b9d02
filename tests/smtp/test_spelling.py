"""An option that is none: which one was meant."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from django_authmail.smtp import EmailBackend, spelling


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param("ssl_cafile", "ca_file", id="Kafka's"),
        pytest.param("ssl_ca_certs", "ca_file", id="Redis'"),
        pytest.param("ca_bundle", "ca_file", id="that of requests"),
        pytest.param("user", "username", id="SmtpConfig's"),
        pytest.param("certfile", "ssl_certfile", id="that of ssl"),
        pytest.param("EMAIL_HOST_USER", "username", id="a setting of Django"),
        pytest.param("EMAIL_USE_TLS", "use_tls", id="a setting that has the option's own name"),
        pytest.param("MAIL_SERVER", "host", id="Flask-Mail's"),
        pytest.param("MAIL_FROM", "from_addr", id="fastapi-mail's"),
        pytest.param("MAIL_SSL_TLS", "use_ssl", id="another of fastapi-mail"),
        pytest.param("hostname", "host", id="aiosmtplib's"),
        pytest.param("start_tls", "use_tls", id="another of aiosmtplib"),
        pytest.param("cert_bundle", "ca_file", id="one more of aiosmtplib"),
        pytest.param("requireTLS", "use_tls", id="Nodemailer's"),
        pytest.param("maxConnections", "pool_size", id="another of Nodemailer"),
        pytest.param("localAddress", "source_address", id="one more of Nodemailer"),
        pytest.param("return_path", "envelope_sender", id="the header's"),
        pytest.param("poolsize", "pool_size", id="spelled otherwise"),
        pytest.param("pol_size", "pool_size", id="mistyped"),
        pytest.param("smtp", "", id="no name at all"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_what_others_call_an_option_leads_to_it(name: str, option: str) -> None:
    assert EmailBackend.unknown_options([name]) == {name: option}


def test_each_other_name_leads_to_an_option_and_is_none() -> None:
    names = {name for names in spelling._ELSEWHERE.values() for name in names.split()}
    assert len(names) == sum(len(names.split()) for names in spelling._ELSEWHERE.values())
    assert EmailBackend.unknown_options(spelling._ELSEWHERE) == {}
    assert EmailBackend.unknown_options(names).keys() == names


def test_where_the_account_is_in_email_settings_they_are_named(settings: Settings) -> None:
    settings.AUTHMAIL_SMTP_OPTIONS = {"ssl_cafile": "x", "user": "y", "keyfile": "z", "max_age": 1}
    assert EmailBackend.misplaced_options() == {
        "keyfile": "EMAIL_SSL_KEYFILE",
        "ssl_cafile": "ca_file",
        "user": "EMAIL_HOST_USER",
    }
