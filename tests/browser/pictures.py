"""Makes the pictures of mails: uv run python -m tests.browser.pictures docs/images"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

#: What README shows: kinds with the number of their sample, and the colours.
_PHONES = (
    ("otp.1", "light"),
    ("magic-link.1", "dark"),
    ("payment-receipt.1", "light"),
    ("security-notice.2", "dark"),
)
_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><style>
body {{ margin: 0; padding: 28px; display: flex; gap: 24px; background: #e9edf3; }}
div {{ width: 264px; height: 480px; overflow: hidden; border: 9px solid #14171c;
  border-radius: 32px; background: #f2f4f7; box-shadow: 0 8px 24px rgba(0, 0, 0, .18); }}
div.dark {{ border-color: #000000; background: #14161a; }}
iframe {{ width: 360px; height: 655px; border: 0; transform: scale(.7334); transform-origin: 0 0; }}
</style></head><body>{phones}</body></html>
"""
_BRAND = {"name": {"ko": "다온서점", "en": "Daon Books"}}
#: Chromium without traffic of its own, and with all frames in one process.
_OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-site-isolation-trials "
    "--disable-features=IsolateSandboxedIframes"
).split()


def main(images: Path) -> None:
    """Write a picture of the index and one of some mails on phones, in each language."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import override_settings
    from django.utils import translation

    for locale, suffix in (("en", ""), ("ko", ".ko")):
        with (
            tempfile.TemporaryDirectory() as name,
            override_settings(
                AUTHMAIL_BRAND=_BRAND,
                AUTHMAIL_LINK_BASE_URL="https://app.example.com",
                TIME_ZONE="Asia/Seoul",
            ),
            translation.override(locale),
        ):
            folder = Path(name)
            call_command("authmail_preview", out=name)
            (folder / "phones.html").write_text(_phones(locale))
            with _page(width=1428, height=1010) as page:
                page.goto((folder / "index.html").as_uri() + "#otp", timeout=120_000)
                page.click(f"label[for=only-{locale}]")
                page.wait_for_timeout(2_000)  # frames load when they are near; nothing says so
                page.evaluate("scrollTo(0, 0)")
                page.screenshot(path=images / f"previews{suffix}.png")
            with _page(width=1256, height=554) as page:
                page.goto((folder / "phones.html").as_uri(), timeout=120_000)
                page.screenshot(path=images / f"mails{suffix}.png")


def _phones(locale: str) -> str:
    return _PAGE.format(
        phones="".join(
            f'<div class="{scheme}"><iframe src="{escape(sample)}.{locale}.{scheme}.html"></iframe>'
            "</div>"
            for sample, scheme in _PHONES
        )
    )


@contextmanager
def _page(*, width: int, height: int) -> Iterator[Page]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield chromium.new_page(viewport={"width": width, "height": height})
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
