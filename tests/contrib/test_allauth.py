"""django-allauth, and dj-rest-auth upon it, in a project of their own: the mails that arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.contrib import project as projects
from tests.contrib.project import Project
from tests.smtp_server import Received, SmtpServer

TO = "hong@example.com"
NAMES = {"first_name": "길동", "last_name": "홍"}
PASSWORD = "a-password-for-tests"
EVIL = {"Host": "evil.example"}


@pytest.fixture(scope="module")
def server(certificate: ServerCertificate) -> Iterator[SmtpServer]:
    with servers.running(certificate) as server:
        yield server


@pytest.fixture(scope="module")
def running(server: SmtpServer) -> Iterator[Project]:
    with projects.running("tests.contrib.allauth_settings", server) as project:
        yield project


@pytest.fixture
def project(running: Project, server: SmtpServer) -> Project:
    """The project, with nobody in it and nothing sent."""
    running.new_client()
    server.refuse.clear()
    server.mails.clear()
    return running


def only_mail(server: SmtpServer) -> Received:
    [received] = server.mails
    server.mails.clear()
    assert received.recipients == [TO]
    assert "evil" not in received.content.decode().lower()
    assert "evil" not in received.text + received.html
    return received


def link(received: Received) -> str:
    [found] = re.findall(r"https://app\.example\.com(/\S+)", received.text)
    assert f'href="https://app.example.com{found}"' in received.html
    return str(found)


def code(received: Received) -> str:
    [found] = re.findall(r"^([A-Z0-9]{4,6}-?[A-Z0-9]{2,6})\r?$", received.text, re.MULTILINE)
    return str(found)


def sign_up(project: Project) -> None:
    data = {"email": TO, "password1": PASSWORD}
    answer = project.post("/accounts/signup/", data, **EVIL)
    assert (answer.status, answer.location) == (302, "/accounts/confirm-email/"), answer.body


def test_the_link_in_the_mail_confirms_the_address(project: Project, server: SmtpServer) -> None:
    sign_up(project)
    received = only_mail(server)
    assert received.mail["Subject"] == "Confirm your email address"
    assert "3 days" in received.text
    answer = project.post(link(received), {})
    assert answer.status == 302
    logged_in = project.post("/accounts/login/", {"login": TO, "password": PASSWORD})
    assert (logged_in.status, logged_in.location) == (302, "/accounts/profile/")


def test_the_code_in_the_mail_confirms_the_address(project: Project, server: SmtpServer) -> None:
    project.new_client(ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED=True)
    data = {"email": TO, "password1": PASSWORD}
    page = project.post("/accounts/signup/", data, **EVIL).location
    received = only_mail(server)
    assert "15 minutes" in received.text
    answer = project.post(page, {"code": code(received)})
    assert (answer.status, answer.location) == (302, "/accounts/profile/"), answer.body


def test_the_code_in_the_mail_signs_in(project: Project, server: SmtpServer) -> None:
    project.new_client(ACCOUNT_EMAIL_VERIFICATION="none")
    project.add_user(TO, password=PASSWORD, **NAMES)
    page = project.post("/accounts/login/code/", {"email": TO}, **EVIL).location
    received = only_mail(server)
    assert received.mail["Subject"] == "Your verification code"
    assert "3 minutes" in received.text
    answer = project.post(page, {"code": code(received)})
    assert (answer.status, answer.location) == (302, "/accounts/profile/"), answer.body


def test_the_link_in_the_mail_sets_a_new_password(project: Project, server: SmtpServer) -> None:
    project.add_user(TO, password=PASSWORD, **NAMES)
    headers = {**EVIL, "Accept-Language": "ko"}
    answer = project.post("/accounts/password/reset/", {"email": TO}, **headers)
    assert answer.status == 302
    received = only_mail(server)
    assert received.mail["Subject"] == "비밀번호 재설정 안내"
    assert "안녕하세요, 홍길동님." in received.text
    assert "3일" in received.text
    form = project.get(link(received)).location
    answer = project.post(
        form, {"password1": "another-9-password", "password2": "another-9-password"}
    )
    assert (answer.status, answer.location) == (302, "/accounts/password/reset/key/done/")
    notice = only_mail(server)
    assert notice.mail["Subject"] == "Your password was changed"
    assert "IP 127.0.0.1" in notice.text


def test_the_code_in_the_mail_opens_the_page_for_a_new_password(
    project: Project, server: SmtpServer
) -> None:
    project.new_client(ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED=True)
    project.add_user(TO, password=PASSWORD)
    page = project.post("/accounts/password/reset/", {"email": TO}, **EVIL).location
    answer = project.post(page, {"code": code(only_mail(server))})
    assert (answer.status, answer.location) == (302, "/accounts/password/reset/complete/")


def test_what_is_not_ours_is_sent_as_allauth_writes_it(
    project: Project, server: SmtpServer
) -> None:
    project.add_user("other@example.com", password=PASSWORD)
    answers = [
        project.post("/accounts/password/reset/", {"email": email})
        for email in ("other@example.com", TO)
    ]
    assert answers[0] == answers[1]
    ours, theirs = server.mails
    assert ours.mail["Subject"] == "Reset your password"
    assert theirs.mail["Subject"].endswith("Unknown Account")


def test_a_mail_that_is_refused_gets_the_same_answer(project: Project, server: SmtpServer) -> None:
    project.new_client(ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS=False)
    project.add_user(TO, password=PASSWORD)
    server.refuse[TO] = "550 5.1.1 no such user"
    answers = [
        project.post("/accounts/password/reset/", {"email": email})
        for email in (TO, "nobody@example.com")
    ]
    assert answers[0] == answers[1]
    assert answers[0].status == 302
    [line] = [line for line in project.log() if line.startswith("notifier.not_sent ")]
    assert " type=password-reset " in line
    assert " reason=bad_recipient " in line
    assert not server.mails


def test_dj_rest_auth_s_registration_sends_the_link(project: Project, server: SmtpServer) -> None:
    data = {"username": "hong", "email": TO, "password1": PASSWORD, "password2": PASSWORD}
    answer = project.post("/api/registration/", data, **EVIL)
    assert answer.status == 201, answer.body
    received = only_mail(server)
    assert received.mail["Subject"] == "Confirm your email address"
    assert project.post(link(received), {}).status == 302


def test_dj_rest_auth_s_reset_sends_the_link(project: Project, server: SmtpServer) -> None:
    project.add_user(TO, password=PASSWORD)
    known = project.post("/api/password/reset/", {"email": TO}, **EVIL)
    unknown = project.post("/api/password/reset/", {"email": "nobody@example.com"}, **EVIL)
    assert (known.status, known.body) == (unknown.status, unknown.body)
    received = only_mail(server)
    [(uid, token)] = re.findall(r"/reset/(\w+)/(\S+)/", link(received))
    new = {"new_password1": "another-9-password", "new_password2": "another-9-password"}
    answer = project.post("/api/password/reset/confirm/", {"uid": uid, "token": token, **new})
    assert answer.status == 200, answer.body
