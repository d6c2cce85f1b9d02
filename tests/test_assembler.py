"""The octets of a mail, read back by parsers that did not write them."""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from hypothesis import example, given
from hypothesis import strategies as st

from django_authmail.assembler import attachment_part
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.message import Attachment, AuthMessage
from tests.test_message import EXPECTED_HEADERS, build

ENCODED_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/]+={0,2})\?=")
MESSAGE_ID = "<fixed@example.org>"

# What a header takes: any text without the control characters and separators that guards refuse.
safe_characters = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"
) | st.sampled_from("  가각힣ㄱ😀é=?_,;:()[]\\.@\"'")
subjects = st.text(safe_characters, max_size=250)
# `<` and `>` in a name are refused: they could be an address.
names = st.text(safe_characters.filter(lambda character: character not in "<>"), max_size=120)
addresses = st.builds(
    "{}@{}".format,
    st.from_regex(r"[a-z0-9!#$%&'*+/=^_`{|}~-]{1,60}", fullmatch=True),
    st.sampled_from(["example.com", "a-very-long-name." * 9 + "example.org", "한국.kr"]),
)
bodies = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from("  \t\r\n\n\n.=_-가😀FFFrom"),
    max_size=600,
) | st.lists(
    st.sampled_from(
        [
            "From here",
            ".",
            "..",
            "-- ",
            "x" * 75,
            "x" * 76,
            "x" * 77,
            "y" * 1200,
            "=_a",
            "가" * 40,
            "a\tb\t",
            "=3D",
            "--=_",
            " lead",
            "",
            "\x0c",
            "\x7f",
        ]
    ),
    max_size=12,
).map("\n".join)
moments = st.datetimes(
    min_value=datetime(1970, 1, 2),
    max_value=datetime(2200, 1, 1),
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=9)), timezone(-timedelta(hours=3, minutes=30))]
    ),
)


def named(name: str, address: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'


mailboxes = st.builds(named, names, addresses) | addresses


@st.composite
def messages(draw: st.DrawFn) -> AuthMessage:
    values: dict[str, Any] = {
        "from_email": draw(mailboxes),
        "to": tuple(draw(st.lists(mailboxes, min_size=1, max_size=4))),
        "cc": tuple(draw(st.lists(mailboxes, max_size=2))),
        "bcc": ("hidden@example.net",),
        "reply_to": tuple(draw(st.lists(mailboxes, max_size=2))),
        "subject": draw(subjects),
        "text_body": draw(bodies),
        "html_body": draw(st.just("") | bodies),
        "created_at": draw(moments),
        "locale": draw(st.sampled_from(["", "ko", "en-GB", "zh_Hans"])),
    }
    try:
        return AuthMessage(**values)
    except UnsafeHeader:  # an encoded word came about
        return build(text_body=values["text_body"], html_body=values["html_body"])


def parse(content: bytes) -> EmailMessage:
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def by_django(message: AuthMessage) -> EmailMessage:
    mail = EmailMultiAlternatives(
        message.subject,
        message.text_body,
        message.from_email,
        message.to,
        cc=message.cc,
        bcc=message.bcc,
        reply_to=message.reply_to,
        headers={
            "Date": format_datetime(message.created_at),
            "Message-ID": message.message_id,
        },
    )
    if message.html_body:
        mail.attach_alternative(message.html_body, "text/html")
    return parse(mail.message().as_bytes())


def lines(text: str) -> str:
    """The text with one kind of line end, and one at its end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def part_text(mail: EmailMessage, subtype: str) -> str | None:
    part = mail.get_body((subtype,))
    return None if part is None else lines(part.get_content())


def head_of(content: bytes) -> str:
    return content.partition(b"\r\n\r\n")[0].decode("ascii")


def field_names(content: bytes) -> list[str]:
    return [
        line.partition(":")[0].lower()
        for line in head_of(content).split("\r\n")
        if line[:1] not in (" ", "\t")
    ]


def pairs(given_addresses: Iterable[str]) -> list[tuple[str, str]]:
    """Display name and address of each mailbox as the message holds it."""
    found = []
    for mailbox in given_addresses:
        name, _, bare = mailbox.rpartition("<")
        name = name.strip(" ")
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        found.append((name, bare.rstrip(">")))
    return found


def mailboxes_of(header: Any) -> list[tuple[str, str]]:
    """Names and addresses of a parsed header.

    Blanks in names do not count: this parser keeps the one between two encoded words, against
    RFC 2047 6.2, and makes one of several elsewhere. The parser of the old kind, below, is exact.
    """
    found = header.addresses if header else ()
    return [("".join(a.display_name.split()), a.addr_spec) for a in found]


@given(messages())
def test_a_parser_finds_exactly_what_was_given(message: AuthMessage) -> None:
    mail = parse(message.as_bytes())
    assert mail["Subject"] == message.subject
    assert mail["Message-ID"] == message.message_id
    assert mail["Date"].datetime == message.created_at.replace(microsecond=0)
    for field, mailboxes_given in (
        ("From", (message.from_email,)),
        ("To", message.to),
        ("Cc", message.cc),
        ("Reply-To", message.reply_to),
    ):
        header = mail[field]
        assert mailboxes_of(header) == [
            ("".join(name.split()), bare) for name, bare in pairs(mailboxes_given)
        ]
        assert header is None or header.defects == ()
    assert part_text(mail, "plain") == lines(message.text_body)
    assert part_text(mail, "html") == (lines(message.html_body) if message.html_body else None)


@given(messages())
def test_the_content_is_that_of_djangos_own_message(message: AuthMessage) -> None:
    ours, theirs = parse(message.as_bytes()), by_django(message)
    for field in ("From", "To", "Cc", "Reply-To"):
        found, by_them = mailboxes_of(ours[field]), mailboxes_of(theirs[field])
        # The email package of Python 3.12.1 loses mailboxes behind one that is longer than a line.
        # (That ours has all that were given is a test of its own.)
        assert set(by_them) <= set(found), field
        assert found == by_them or sys.version_info < (3, 13), field
    for field in ("Subject", "Date", "Message-ID"):
        # Django loses blanks at the start of a subject and beside encoded words.
        assert str(ours[field]).split() == str(theirs[field]).split(), field
    # Django leaves an empty text out where there is HTML.
    assert part_text(ours, "plain") == (part_text(theirs, "plain") or "\n")
    assert part_text(ours, "html") == part_text(theirs, "html")
    assert "Bcc" not in ours


@given(messages())
def test_a_parser_of_the_old_kind_finds_the_same(message: AuthMessage) -> None:
    """`email.header` and `getaddresses` share no code with the policy of today."""
    mail: Message = message_from_bytes(message.as_bytes(), policy=policy.compat32)

    def decoded(value: str) -> str:
        return str(make_header(decode_header(value.replace("\r\n", ""))))

    assert decoded(str(mail["Subject"])) == message.subject
    for field, mailboxes_given in (("From", (message.from_email,)), ("To", message.to)):
        found = getaddresses([str(mail[field]).replace("\r\n", "")])
        assert [(decoded(name), bare) for name, bare in found] == pairs(mailboxes_given)
    assert parsedate_to_datetime(str(mail["Date"])) == message.created_at.replace(microsecond=0)
    text, *rest = [part for part in mail.walk() if not part.is_multipart()]
    payload = text.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert lines(payload.decode()) == lines(message.text_body)
    assert len(rest) == bool(message.html_body)


@given(messages())
def test_the_octets_pass_any_server(message: AuthMessage) -> None:
    content = message.as_bytes()
    assert content.isascii()
    assert b"\0" not in content
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert content.endswith(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    body = content.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert not re.search(rb"[ \t]\r\n", body)
    assert not re.search(rb"(?m)^From ", body)


@given(messages())
def test_headers_are_those_asked_for_and_folded(message: AuthMessage) -> None:
    content = message.as_bytes()
    found = field_names(content)
    assert len(found) == len(set(found))
    assert set(found) <= EXPECTED_HEADERS | {"cc", "reply-to", "content-transfer-encoding"}
    assert ("cc" in found, "reply-to" in found) == (bool(message.cc), bool(message.reply_to))
    assert b"hidden@" not in content
    for line in head_of(content).split("\r\n"):
        assert line.strip()
        # A longer line is one that nothing in it can break.
        assert len(line) <= 78 or len(line.split()) <= 2
        if "=?" in line:
            assert len(line) <= 76
    for word in re.findall(r"=\?.*?\?=", head_of(content).replace("\r\n", "")):
        assert len(word) <= 75
        match = ENCODED_WORD.fullmatch(word)
        assert match
        assert b64decode(match[1], validate=True).decode()


@given(messages())
def test_the_same_message_gives_the_same_octets(message: AuthMessage) -> None:
    assert message.as_bytes() == message.as_bytes()


@given(st.lists(st.sampled_from(["--=_a", "--=_m", "REF", "--", "\r\n", "\n", "x", "가", " "])))
def test_no_body_ends_its_own_part(pieces: list[str]) -> None:
    """Whoever knows the Message-ID knows the boundary."""
    message = build(message_id=MESSAGE_ID)
    reference = str(parse(message.as_bytes())["X-Entity-Ref-ID"]).replace("-", "")
    text = "".join(pieces).replace("REF", reference)
    attachment = Attachment("a.txt", text.encode(), "text/plain")
    message = build(
        message_id=MESSAGE_ID, text_body=text, html_body=text or "x", attachments=(attachment,)
    )
    mail = parse(message.as_bytes())
    parts = [part.get_content_type() for part in mail.walk()]
    assert parts == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/plain",
    ]
    assert part_text(mail, "plain") == lines(text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param("Your code: 482901\n", "7bit", id="short ASCII lines travel as they are"),
        pytest.param("x" * 76, "7bit", id="76 characters"),
        pytest.param("x" * 77, "quoted-printable", id="77 characters"),
        pytest.param("a = b\n", "7bit", id="an equals sign needs nothing in 7bit"),
        pytest.param("some text, =_ and more\n", "quoted-printable", id="what opens a boundary"),
        pytest.param("-- \nThe team, with regards\n", "quoted-printable", id="a blank at the end"),
        pytest.param("a long enough line \x0b\n", "quoted-printable", id="a control character"),
        pytest.param("From here on\n", "base64", id="what mailbox files quote"),
        pytest.param("so\nFrom here on\n", "base64", id="what mailbox files quote, further down"),
        pytest.param(
            "Viele Grüße aus Österreich, und bis bald\n", "quoted-printable", id="some umlauts"
        ),
        pytest.param("코드 482901\n", "base64", id="Korean"),
        pytest.param("<p>" * 100 + "코드", "quoted-printable", id="Korean among many tags"),
    ],
)
def test_the_shortest_safe_encoding_is_used(text: str, encoding: str) -> None:
    mail = parse(build(text_body=text, html_body="").as_bytes())
    assert mail["Content-Transfer-Encoding"] == encoding
    assert lines(mail.get_content()) == lines(text)


def test_a_mail_of_text_only_is_one_part() -> None:
    mail = parse(build(html_body="").as_bytes())
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"


def test_headers_come_in_the_order_that_people_read() -> None:
    message = build(
        cc=("c@example.com",),
        reply_to=("r@example.com",),
        extra_headers=(("X-PM-Track-Opens", "false"),),
    )
    assert field_names(message.as_bytes()) == [
        "from",
        "to",
        "cc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "content-language",
        "auto-submitted",
        "x-auto-response-suppress",
        "x-entity-ref-id",
        "x-pm-track-opens",
        "mime-version",
        "content-type",
    ]


def test_hidden_recipients_only_leave_a_to_without_address() -> None:
    content = build(to=(), bcc=("hidden@example.com",)).as_bytes()
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in content


@pytest.mark.parametrize(
    ("mailbox", "written"),
    [
        ("a@example.com", "a@example.com"),
        ("Ann Example <a@example.com>", "Ann Example <a@example.com>"),
        ('"Doe, John" <a@example.com>', '"Doe, John" <a@example.com>'),
        ('"a\\"b" <a@example.com>', '"a\\"b" <a@example.com>'),
        ("J. Doe <a@example.com>", '"J. Doe" <a@example.com>'),
        ("two  blanks <a@example.com>", '"two  blanks" <a@example.com>'),
        ("홍길동 <a@example.com>", "=?utf-8?b?7ZmN6ri464+Z?= <a@example.com>"),
        ('"홍, 길동" <a@example.com>', "=?utf-8?b?7ZmNLCDquLjrj5k=?= <a@example.com>"),
        ("a@한국.kr", "a@xn--3e0b707e.kr"),
    ],
)
def test_a_mailbox_is_written_in_the_form_that_it_needs(mailbox: str, written: str) -> None:
    assert f"\r\nTo: {written}\r\n" in head_of(build(to=(mailbox,)).as_bytes())


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(" lead", id="a leading blank"),
        pytest.param("trail ", id="a trailing blank"),
        pytest.param(" ", id="a blank alone"),
        pytest.param("a\tb", id="a tab"),
        pytest.param("what =? is", id="half an encoded word"),
        pytest.param("=??q?x?=", id="an encoded word without a charset"),
        pytest.param("x" * 300, id="a word that fits no line"),
        pytest.param("word  " * 60 + "x", id="double blanks where lines break"),
        pytest.param("가" * 998, id="the longest in Korean"),
        pytest.param("a b " * 249 + "ab", id="the longest in ASCII"),
        pytest.param("👩‍👩‍👧‍👦" * 60, id="four octets a character"),
    ],
)
def test_a_subject_arrives_as_it_was(subject: str) -> None:
    content = build(subject=subject).as_bytes()
    assert parse(content)["Subject"] == subject
    assert max(map(len, head_of(content).split("\r\n"))) <= 78


def test_a_plain_subject_is_not_encoded() -> None:
    head = head_of(build(subject="Your code for example.com is 482901, " * 5 + "ok").as_bytes())
    assert head.count("Your code for example.com") + head.count("Your\r\n code") >= 4
    assert "Subject: Your code for example.com is 482901," in head


def test_each_day_and_month_has_its_name() -> None:
    start = datetime(2024, 1, 1, 23, 59, 58, tzinfo=UTC)
    for moment in (start + timedelta(days=17 * n) for n in range(23)):
        mail = build(created_at=moment).as_bytes()
        assert f"\r\nDate: {format_datetime(moment)}\r\n".encode() in mail


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC), "Fri, 20 Nov 2026 03:04:05 +0000"),
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=9))),
            "Fri, 02 Jan 2026 00:00:00 +0900",
        ),
        (
            datetime(1900, 1, 1, 8, 27, 52, tzinfo=timezone(timedelta(hours=8, seconds=1672))),
            "Mon, 01 Jan 1900 00:00:00 +0000",
        ),
    ],
)
def test_the_date_has_hours_and_minutes_of_offset(moment: datetime, written: str) -> None:
    assert parse(build(created_at=moment).as_bytes())["Date"] == written


# -- extra headers


@given(st.from_regex(r"[Xx]-[A-Za-z0-9-]{1,40}", fullmatch=True), st.text(max_size=300))
@example("X-Long", "word " * 100)
@example("X-Long", "x" * 900)
@example("X-Long", "가나다" * 100)
@example("X-Track", '{"filters":{"clicktrack":{"settings":{"enable":0}}}}')
def test_an_extra_header_is_there_once_and_as_given(name: str, value: str) -> None:
    try:
        message = build(extra_headers=((name, value),))
    except UnsafeHeader:
        return
    content = message.as_bytes()
    assert set(field_names(content)) == EXPECTED_HEADERS | {name.lower()}
    assert parse(content)[name] == value.strip(" \t")
    for line in head_of(content).split("\r\n"):
        assert len(line) <= 998
        assert "=?" not in line or len(line) <= 76


def test_a_machines_long_token_is_not_encoded() -> None:
    value = '{"unique":"' + "x" * 300 + '"}'
    assert f"X-SMTPAPI: {value}\r\n" in head_of(
        build(extra_headers=(("X-SMTPAPI", value),)).as_bytes()
    )


@pytest.mark.parametrize("name", ["From", "SUBJECT", "Content-Type", "content-anything", "Date"])
def test_an_extra_header_may_not_be_one_of_ours(name: str) -> None:
    with pytest.raises(UnsafeHeader, match=f"extra_headers has {name}, which the message writes"):
        build(extra_headers=((name, "x"),))


@pytest.mark.parametrize("name", ["Bcc", "Resent-To", "Return-Path", "Received", "sender"])
def test_an_extra_header_may_not_steer_servers(name: str) -> None:
    with pytest.raises(UnsafeHeader, match="which servers on the way act on"):
        build(extra_headers=((name, "x"),))


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nBcc", "X-가", "X\t", "X" * 51])
def test_an_extra_headers_name_is_a_name(name: str) -> None:
    with pytest.raises(UnsafeHeader, match="has a name that is none"):
        build(extra_headers=((name, "x"),))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a\r\nBcc: x@example.com", "line break"),
        ("a\nb", "line break"),
        ("a\0b", "NUL"),
        ("=?utf-8?q?x=0D=0A?=", "encoded word"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("x" * 901, "without a space to fold at"),
    ],
)
def test_an_extra_headers_value_is_guarded(value: str, problem: str) -> None:
    with pytest.raises(UnsafeHeader, match=problem) as caught:
        build(extra_headers=(("X-A", value),))
    assert caught.value.field == "extra_headers['X-A']"


def test_an_extra_header_comes_once() -> None:
    with pytest.raises(UnsafeHeader, match="has x-a twice"):
        build(extra_headers=(("X-A", "1"), ("x-a", "2")))


def test_a_dict_of_extra_headers_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match=re.escape("tuple(headers.items())")):
        build(extra_headers={"X-A": "1"})


# -- attachments


FILE_NAMES = [
    "report.pdf",
    "인증 안내.pdf",
    "아주 긴 이름의 문서 " * 6 + ".pdf",
    'quote " and ; semicolon.txt',
    "=_a.txt",
    "100%.txt",
    "résumé (1).txt",
    "x" * 250,
]


@pytest.mark.parametrize("name", FILE_NAMES)
@pytest.mark.parametrize("html", ["", "<p>본문</p>"])
def test_an_attachment_arrives_with_its_name(name: str, html: str) -> None:
    data = bytes(range(256)) * 20
    message = build(html_body=html, attachments=(Attachment(name, data, "application/pdf"),))
    content = message.as_bytes()
    mail = parse(content)
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == name
    assert attachment.get_content() == data
    assert attachment.get_content_type() == "application/pdf"
    assert attachment.get_content_disposition() == "attachment"
    assert part_text(mail, "plain") == lines(message.text_body)
    assert part_text(mail, "html") == (lines(html) if html else None)
    assert content == message.as_bytes()
    assert content.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    old = [part for part in message_from_bytes(content).walk() if part.get_filename()]
    assert [part.get_payload(decode=True) for part in old] == [data]


def test_a_korean_name_is_in_the_form_of_rfc_2231() -> None:
    content = build(attachments=(Attachment("안내.pdf", b"x"),)).as_bytes()
    assert b"filename*=utf-8''%EC%95%88%EB%82%B4.pdf" in content


def test_a_name_in_single_letters_is_composed() -> None:
    assert Attachment("\u1112\u1161\u11ab.txt", b"").filename == "한.txt"


@given(st.lists(st.tuples(st.sampled_from(FILE_NAMES), st.binary(max_size=300)), max_size=4))
def test_the_files_are_those_of_djangos_own_message(files: list[tuple[str, bytes]]) -> None:
    message = build(attachments=tuple(Attachment(name, data) for name, data in files))
    theirs = EmailMultiAlternatives("s", "t", "a@example.com", ["b@example.com"])
    for name, data in files:
        theirs.attach(name, data, "application/octet-stream")
    found = [
        [
            (part.get_filename(), part.get_content_type(), part.get_content())
            for part in mail.iter_attachments()
        ]
        for mail in (parse(message.as_bytes()), parse(theirs.message().as_bytes()))
        if mail.is_multipart()
    ]
    assert all(each == found[0] for each in found)
    assert [(name, data) for name, _, data in found[0]] == files


def test_parameters_of_a_content_type_are_kept() -> None:
    kind = 'text/csv; charset=euc-kr; header="present, yes"'
    message = build(attachments=(Attachment("a.csv", "가,나\r\n".encode("euc-kr"), kind),))
    (attachment,) = parse(message.as_bytes()).iter_attachments()
    assert attachment.get_content() == "가,나\r\n"
    assert attachment["Content-Type"].params["header"] == "present, yes"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "a/b",
        "..\\b",
        "/etc/passwd",
        "a\r\nBcc: x",
        "a\0b",
        "cod\u202efdp.exe",
        "x" * 256,
        "가" * 86,
        "\ud800",
        "a\tb",
        "=?utf-8?q?x?=",
    ],
)
def test_a_hostile_file_name_makes_no_attachment(name: str) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        Attachment(name, b"")
    assert caught.value.field == "filename"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text",
        "text/",
        "/plain",
        "a b/c",
        "text/plain\r\nX: y",
        "text/plain; x",
        "텍스트/plain",
        "message/rfc822",
        "Multipart/mixed",
        'text/plain; name="x.exe"',
        'text/plain; a="b\\"',
    ],
)
def test_a_content_type_that_cannot_be_used_makes_no_attachment(kind: str) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        Attachment("a.txt", b"", kind)
    assert caught.value.field == "content_type"


def test_content_is_bytes() -> None:
    with pytest.raises(TypeError, match="content is bytes"):
        Attachment("a.txt", "text")  # type: ignore[arg-type] # what callers get wrong


def test_attachments_are_attachments() -> None:
    with pytest.raises(TypeError, match="tuple of Attachment"):
        build(attachments=(("a.txt", b"x", "text/plain"),))


def test_the_content_of_an_attachment_is_in_no_repr() -> None:
    assert "secret" not in repr(Attachment("a.txt", b"secret"))


def test_a_part_ends_in_a_line_end() -> None:
    part = attachment_part("a", b"", maintype="text", subtype="plain", parameters={})
    assert part.endswith(b"\r\n")


def test_a_message_with_headers_and_files_is_hashable_and_equal_to_its_like() -> None:
    now = datetime.now(UTC)
    one, two = (
        build(
            message_id=MESSAGE_ID,
            created_at=now,
            extra_headers=(("X-A", "1"),),
            attachments=(Attachment("a", b"x"),),
        )
        for _ in range(2)
    )
    assert one == two
    assert hash(one) == hash(two)
    assert one.as_bytes() == two.as_bytes()


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_name_of_a_file_or_header_is_refused_or_harmless(file: str, header: str) -> None:
    try:
        message = build(
            attachments=(Attachment(file, b"x"),), extra_headers=((header, "x"),), to=(file,)
        )
    except (UnsafeHeader, InvalidAddress):
        return
    assert set(field_names(message.as_bytes())) == EXPECTED_HEADERS | {header.lower()}
