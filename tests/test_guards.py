from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_authmail.exceptions import InvalidAddress, UnsafeHeader, UnsafeLink
from django_authmail.guards import (
    envelope_address,
    header_address,
    link_base,
    link_path,
    one_line,
    safe_header,
    safe_header_block,
)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a\rb", id="carriage return"),
        pytest.param("a\nBcc: x@example.com", id="line feed with a header behind it"),
        pytest.param("a\r\n\r\nbody", id="end of the headers"),
        pytest.param("a\0b", id="nul"),
        pytest.param("a\x0bb", id="vertical tab"),
        pytest.param("a\x85b", id="next line of latin-1"),
        pytest.param("a\u2028b", id="line separator of unicode"),
        pytest.param("a\x7fb", id="delete"),
    ],
)
def test_refuses_what_could_break_a_header(value: str) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        safe_header(value, "subject")
    assert caught.value.field == "subject"
    assert caught.value.code == "crlf_in_header"
    assert "subject contains a line break, NUL or another control" in str(caught.value)
    # The value is hostile, and it may hold a code: it is in no message.
    assert "Bcc" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [("a\ud800b", "contains half of a character"), ("=?utf-8?q?x?=", "MIME encoded word")],
)
def test_says_what_no_header_can_carry(value: str, problem: str) -> None:
    with pytest.raises(UnsafeHeader, match=f"subject .*{problem}"):
        safe_header(value, "subject")


@pytest.mark.parametrize(
    ("value", "bare", "header"),
    [
        ("hong@example.com", "hong@example.com", "hong@example.com"),
        (
            "홍길동 <hong@example.com>",
            "hong@example.com",
            "홍길동 <hong@example.com>",
        ),
        ("Team, Inc <a@example.com>", "a@example.com", '"Team, Inc" <a@example.com>'),
        ('"Kim \\"K\\"" <k@example.com>', "k@example.com", '"Kim \\"K\\"" <k@example.com>'),
        (
            "=?utf-8?b?7ZmN6ri464+Z?= <hong@example.com>",  # what formataddr() makes
            "hong@example.com",
            "홍길동 <hong@example.com>",
        ),
        ('"A <x>" <a@example.com>', "a@example.com", '"A <x>" <a@example.com>'),
        ("user@한국.kr", "user@xn--3e0b707e.kr", "user@xn--3e0b707e.kr"),
        ("user+tag@EXAMPLE.com", "user+tag@example.com", "user+tag@example.com"),
        ("root@localhost", "root@localhost", "root@localhost"),
    ],
)
def test_takes_addresses_that_smtp_can_carry(value: str, bare: str, header: str) -> None:
    assert envelope_address(value, "to") == bare
    assert header_address(value, "to") == header


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("", "name@domain", id="empty"),
        pytest.param("nobody", "name@domain", id="no domain"),
        pytest.param("@example.com", "name@domain", id="no local part"),
        pytest.param("a@", "name@domain", id="nothing behind the at"),
        pytest.param("홍@example.com", "non-ASCII", id="non-ascii local part"),
        pytest.param("a b@example.com", "not allowed", id="space"),
        pytest.param("a@b@example.com", "not allowed", id="two ats"),
        pytest.param("a..b@example.com", "not allowed", id="empty atom"),
        pytest.param('"a b"@example.com', "not allowed", id="quoted local part"),
        pytest.param("a@b, c@d", "not allowed", id="a list"),
        pytest.param("A <a@b> <c@d>", "one address", id="two mailboxes"),
        pytest.param("<a@b>, c@d", "one address", id="a list with brackets"),
        pytest.param("=??q?a=40b=2Ecom?=@example.com", "not allowed", id="an encoded word"),
        pytest.param("to@b.com <to@example.com>", "quotes", id="an address as a name"),
        pytest.param("a@-example.com", "domain name", id="label begins with a hyphen"),
        pytest.param("a@example..com", "domain name", id="empty label"),
        pytest.param("a@[127.0.0.1]", "literal", id="address literal"),
        pytest.param("a@exa_mple.com", "domain name", id="underscore"),
        pytest.param("a" * 65 + "@example.com", "64", id="long local part"),
        pytest.param("aaaa@" + ".".join(["b" * 60] * 4) + ".example", "254", id="long address"),
        pytest.param("a@example.com>", "domain name", id="a bracket that closes nothing"),
    ],
)
def test_refuses_what_is_no_address(value: str, problem: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        envelope_address(value, "to")
    assert problem in str(caught.value)
    assert caught.value.code == "invalid_recipient"


@given(st.text())
def test_an_address_that_passes_is_one_printable_ascii_word(value: str) -> None:
    try:
        address = envelope_address(value, "to")
    except (InvalidAddress, UnsafeHeader):
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>,;"()[]\\\t')


def test_a_rendered_subject_loses_the_line_end_of_its_template() -> None:
    assert one_line("  Your code\n", "subject") == "Your code"


def test_a_subject_of_two_lines_is_refused() -> None:
    with pytest.raises(UnsafeHeader):
        one_line("Your\ncode", "subject")


@pytest.mark.parametrize(
    "name",
    ["=?utf-8?q?x=0D=0ABcc=3A_y?=", "=?utf-8?b?eAoKYg==?=", "=?nope?q?x?=", "=?utf-8?q?=00?="],
)
def test_an_encoded_name_is_guarded_as_what_it_says(name: str) -> None:
    with pytest.raises(UnsafeHeader):
        header_address(f"{name} <a@example.com>", "to")


@pytest.mark.parametrize(
    "block",
    [b"Subject: a\0b", b"Subject: a\rBcc: x@example.com", b"A: b\r\r\nB: c"],
)
def test_a_mail_that_others_built_is_guarded_too(block: bytes) -> None:
    with pytest.raises(UnsafeHeader):
        safe_header_block(block + b"\r\n\r\nbody")


def test_what_stands_in_the_body_is_not_its_business() -> None:
    content = b"Subject: a\r\n folded\r\n\r\nb\0c\rd"
    assert safe_header_block(content) is content


@pytest.mark.parametrize(
    ("value", "base"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://App.Example.com:8443/app/", "https://app.example.com:8443/app"),
        ("https://예시.example", "https://xn--vv4b11d.example"),
        ("https://app.example.com/한글", "https://app.example.com/%ED%95%9C%EA%B8%80"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_link_may_begin_with(value: str, base: str) -> None:
    assert link_base(value, "base_url") == base
    assert link_base(base, "base_url") == base


@pytest.mark.parametrize(
    "value",
    [
        "",
        "app.example.com",
        "//app.example.com",
        "ftp://app.example.com",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "http://app.example.com",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://192.168.0.1",
        "https://192.168.0.1.",
        "https://user@app.example.com",
        "https://user:password@app.example.com",
        "https://app.example.com?next=x",
        "https://app.example.com?",
        "https://app.example.com#x",
        "https://app.example.com/\r\nBcc: x",
        "https://app.example.com/ x",
        "https://app.exa\u202emple.com",
        "https://app.exa\u200bmple.com",
        "https://app.example.com\\@evil.example",
        'https://app.example.com/"onclick="x',
        "https://app.example.com/<b>",
        "https://app..example.com",
        "https://app.example.com:99999",
        "https://app.example.com/" + "x" * 1000,
    ],
)
def test_no_link_may_begin_with(value: str) -> None:
    with pytest.raises(UnsafeLink) as caught:
        link_base(value, "base_url")
    assert caught.value.field == "base_url"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/", "/"),
        ("/set-password", "/set-password"),
        ("/t/{token}/", "/t/{token}/"),
        ("/로그인", "/%EB%A1%9C%EA%B7%B8%EC%9D%B8"),
        ("/a//b", "/a//b"),
    ],
)
def test_a_link_may_go_on_with(value: str, path: str) -> None:
    assert link_path(value, "path") == path


@pytest.mark.parametrize(
    "value",
    ["", "x", "//evil.example", "/\\evil.example", "/a?b", "/a#b", "/../x", "/a/..", "/a b", '/"'],
)
def test_no_link_may_go_on_with(value: str) -> None:
    with pytest.raises(UnsafeLink, match="must be a path that begins with one /"):
        link_path(value, "path")
