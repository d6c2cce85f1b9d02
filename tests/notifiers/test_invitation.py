"""The mail that invites somebody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_authmail.notifiers import InvitationNotifier

TO = "hong@example.org"


@pytest.mark.parametrize(
    ("inviter_name", "organization", "locale", "lead"),
    [
        ("김철수", "디자인팀", "ko", "김철수님이 Example의 디자인팀에 초대했습니다."),
        ("김철수", "", "ko", "김철수님이 Example에 초대했습니다."),
        ("", "디자인팀", "ko", "Example의 디자인팀에 초대받으셨습니다."),
        ("", "", "ko", "Example에 초대받으셨습니다."),
        ("Robin", "Design", "en", "Robin invites you to join Design on Example."),
        ("Robin", "", "en", "Robin invites you to join Example."),
        ("", "Design", "en", "You are invited to join Design on Example."),
        ("\u200b", "\u202e", "en", "You are invited to join Example."),
    ],
)
def test_an_invitation_says_what_is_known(
    inviter_name: str, organization: str, locale: str, lead: str
) -> None:
    message = InvitationNotifier(base_url="https://app.example.com").build(
        TO,
        user_name="",
        inviter_name=inviter_name,
        organization=organization,
        token="t1",
        locale=locale,
    )
    assert lead in message.text_body.splitlines()
    assert lead in message.html_body
    assert "\nhttps://app.example.com/accept-invitation?token=t1\n" in message.text_body
    assert {"ko": "7일 동안", "en": "7 days"}[locale] in message.text_body
    assert message.expires_in == timedelta(days=7)
    # What somebody typed is not in the subject, which nothing marks as theirs.
    assert (
        message.subject == {"ko": "Example 초대 안내", "en": "You are invited to Example"}[locale]
    )
