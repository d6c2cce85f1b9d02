"""Every kind of mail in a real browser: on a phone, in light and dark, with the longest values."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize
from pytest_django.fixtures import Settings

from django_authmail.message import AuthMessage
from django_authmail.notifiers import registry
from django_authmail.notifiers.samples import SAMPLE_CODE
from django_authmail.previews import Preview, previews
from django_authmail.previews.contrast import NORMAL_TEXT, contrast
from tests.kinds import SHIPPED

PHONE: ViewportSize = {"width": 360, "height": 640}

# What a reader sees: elements that have text of their own, with the colours that Chromium gives
# them. A ground is that of the nearest element around that has one.
_TEXTS = """() => {
  const rgb = value => value.match(/[\\d.]+/g).map(Number);
  const hex = value => '#' + rgb(value).slice(0, 3).map(
    part => Math.round(part).toString(16).padStart(2, '0')).join('');
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((rgb(colour)[3] ?? 1) === 1) return hex(colour);
    }
    return '';
  };
  const own = element => [...element.childNodes].filter(node => node.nodeType === 3)
    .map(node => node.data).join('').trim();
  return [...document.body.querySelectorAll('*')].filter(own).map(element => {
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    return {
      text: own(element), tag: element.tagName, href: element.getAttribute('href') || '',
      pixels: parseFloat(style.fontSize), colour: hex(style.color), ground: ground(element),
      left: box.left, right: box.right, height: box.height,
    };
  }).filter(found => found.height > 0);
}"""

# How bright a picture is, 0 to 255, and how many colours it has.
_PICTURE = """async data => {
  const picture = await createImageBitmap(await (await fetch(data)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height).data;
  const colours = new Set();
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    colours.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
    sum += pixels[at] + pixels[at + 1] + pixels[at + 2];
  }
  return {brightness: sum / (pixels.length / 4 * 3), colours: colours.size};
}"""


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Page]:
    """One page for all mails. Whatever one asks for from elsewhere is refused and noted."""
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.route("http*://**", lambda route: route.abort())
    yield page
    context.close()


def show(page: Page, message: AuthMessage, scheme: Any = "light") -> list[dict[str, Any]]:
    page.emulate_media(color_scheme=scheme)
    page.set_content(message.html_body)
    found: list[dict[str, Any]] = page.evaluate(_TEXTS)
    return found


def made(kind: str) -> Iterator[tuple[Preview, AuthMessage]]:
    for preview in previews([kind]):
        assert preview.message is not None, preview.findings
        yield preview, preview.message


@pytest.mark.parametrize("kind", SHIPPED)
def test_a_mail_can_be_read_in_light_and_dark(kind: str, phone: Page, tmp_path: Path) -> None:
    for preview, message in made(kind):
        brightness = {}
        for scheme in ("light", "dark"):
            texts = show(phone, message, scheme)
            for found in texts:
                ratio = contrast(found["colour"], found["ground"])
                assert ratio >= NORMAL_TEXT, (preview.name, scheme, found)
            if preview.number > 1:
                continue  # the same colours; one picture is enough
            png = phone.screenshot(path=tmp_path / f"{preview.name}.{scheme}.png", full_page=True)
            data = "data:image/png;base64," + base64.b64encode(png).decode()
            picture = phone.evaluate(_PICTURE, data)
            assert picture["colours"] > 20, "nothing is drawn"
            brightness[scheme] = picture["brightness"]
        if brightness:
            assert brightness["light"] > 200
            assert brightness["dark"] < 60


@pytest.mark.parametrize("kind", SHIPPED)
def test_a_code_is_large_and_a_link_is_there(kind: str, phone: Page) -> None:
    for preview, message in made(kind):
        texts = show(phone, message)
        codes = [found for found in texts if found["text"] == SAMPLE_CODE]
        assert len(codes) == message.text_body.split().count(SAMPLE_CODE), preview.name
        assert all(found["pixels"] >= 28 for found in codes)
        links = {found["href"] for found in texts if found["href"].startswith("https://")}
        assert len(links) <= 1, preview.name
        assert all(link in message.text_body for link in links)


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("width", [320, 360])
def test_nothing_is_wider_than_the_phone(kind: str, width: int, phone: Page) -> None:
    phone.set_viewport_size({"width": width, "height": 640})
    for preview, message in made(kind):
        texts = show(phone, message)
        assert phone.evaluate("document.documentElement.scrollWidth") <= width, preview.name
        assert [t for t in texts if t["left"] < 0 or t["right"] > width] == [], preview.name
    phone.set_viewport_size(PHONE)


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(
    "values",
    [
        {"user_name": "가" * 100, "code": "ABCD-EFGH-12"},
        {"user_name": "w" * 100, "code": "WWWWWWWWWWWW"},
        {"user_name": "", "code": "1234"},
    ],
    ids=["Korean", "no place to break", "short"],
)
def test_the_longest_code_and_name_fit_a_phone(
    locale: str, values: dict[str, str], phone: Page
) -> None:
    notifier = registry.get("otp")()
    message = notifier.build("a@example.com", locale=locale, **values)
    [code] = [found for found in show(phone, message) if found["text"] == values["code"]]
    assert code["pixels"] >= 28
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_longest_token_fits_a_phone(phone: Page, settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    message = registry.get("magic-link")().build("a@example.com", user_name="", token="x" * 2000)
    texts = show(phone, message)
    assert any("x" * 2000 in found["href"] for found in texts)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
