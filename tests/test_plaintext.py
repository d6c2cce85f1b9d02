from __future__ import annotations

import time

import pytest

from django_authmail.plaintext import text_of

MB = 1024 * 1024


@pytest.mark.parametrize(
    ("html", "text"),
    [
        pytest.param("<p>첫째 &amp; 둘째</p>", "첫째 & 둘째", id="an entity"),
        pytest.param("<p>a</p><p>b</p>c<br>d<br/>e", "a\n\nb\nc\nd\ne", id="a line per block"),
        pytest.param(
            "<table><tr><th>Code</th><td>482901</td></tr><tr><th>For<td>5 min</table>",
            "Code 482901\n\nFor 5 min",
            id="cells side by side",
        ),
        pytest.param("<p> a\n b\t c </p>", "a b c", id="white space"),
        pytest.param("<P>a</P><A HREF='u'>b</A>", "a\nb (u)", id="capital letters"),
        pytest.param("<a href=u>a</a>, <a href='u'>u</a>", "a (u), u", id="addresses once"),
        pytest.param(
            "<a title='x href=y' href=\"https://x/?a=1&amp;b=2\">a</a>",
            "a (https://x/?a=1&b=2)",
            id="the address alone",
        ),
        pytest.param("<a>a</a> <a href=''>b</a> <a href>c</a>", "a b c", id="no address"),
        pytest.param("<a href=u>a<a href=v>b</a>", "a (u)b (v)", id="a link ends where one begins"),
        pytest.param("<a href=u>a", "a (u)", id="a link that is not closed"),
        pytest.param("<img alt='>' title=it's>a<p b=\"c>d\">e", "a\ne", id="> in quotes"),
        pytest.param(
            "a<!-- <p>b --> c<!--> d<!-- e --!><![if x]> e<!doctype html> f", "a c d e f", id="none"
        ),
        pytest.param(
            "<head><title>a</title>b<style>p > c {}</style></head><body>d"
            "<script>'</p>' < e</SCRIPT >f",
            "df",
            id="what is not shown",
        ),
        pytest.param("<head>a<body>b", "b", id="a head that is not closed"),
        pytest.param(
            "<head><meta charset=utf-8><title>a</title><link href=b><p>c", "c", id="and no body"
        ),
        pytest.param("1 < 2, 3 <4 <", "1 < 2, 3 <4 <", id="no tags"),
        pytest.param("a</>b</ c>d<?e?>f", "abdf", id="tags that are none"),
        pytest.param("a<b c", "a", id="a tag that is not closed"),
        pytest.param("a<!-- b", "a", id="a comment that is not closed"),
        pytest.param("a<!b", "a", id="a declaration that is not closed"),
        pytest.param("a<style>b", "a", id="a style that is not closed"),
        pytest.param('a<p b="c>d', "a\nd", id="a quote that is not closed"),
        pytest.param('a<p b=">"c>d<p e="f', "a\nd", id="a > in quotes, and no other"),
        pytest.param('a<p b=">d', "a\nd", id="a > behind a quote that is not closed"),
        pytest.param('a<p b=">"c', "a", id="a > in quotes of a tag that is not closed"),
        pytest.param("&#72;&#000000000105;&#x21;&#33", "Hi!!", id="characters by their number"),
        pytest.param("&#" + "1" * 5000 + ";a", "\ufffda", id="no character has this number"),
        pytest.param("&#" + "0" * 5000 + "65;", "A", id="more zeros than Python reads"),
        pytest.param("<a href='&#" + "9" * 5000 + "'>a</a>", "a (\ufffd)", id="in an address"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_text_of(html: str, text: str) -> None:
    assert text_of(html) == text + "\n"


def test_without_addresses() -> None:
    assert text_of("<a href=u>a</a>", with_addresses=False) == "a\n"


@pytest.mark.parametrize(
    "part",
    [
        "<!--",
        "<",
        "<!",
        "</",
        "<a",
        "<div>",
        "<script>",
        "<title>x</title",
        '<a b="',
        "<a b='\">",
        "<a =>'",
        "<a b= ",
        "<a href=x>",
        "<a href=x>y</a>",
        "&#",
        " \n",
        '<b" c=">',
        "</b' c='>",
    ],
)
@pytest.mark.parametrize("end", ["", '<b"'], ids=["", "then half a tag"])
def test_no_megabyte_keeps_a_processor(part: str, end: str) -> None:
    html = part * (MB // len(part)) + end
    before = time.thread_time()
    text_of(html)
    # Under a second; with `html.parser`, many of these take ten or three hundred.
    assert time.thread_time() - before < 8
