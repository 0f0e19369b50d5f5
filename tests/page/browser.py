"""Chromium for tests of the page: the system's own, driven by Playwright."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, sync_playwright

from tests.waiting import PATIENCE

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# A container has no second wall around the browser's own, nor much shared memory.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]

WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 360, "height": 740}


def chromium_path() -> str:
    """Where Chromium is; skips the tests where there is none, but never in CI."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium on this machine: `make chromium` installs it")
        pytest.skip("there is no Chromium on this machine: `make chromium` installs it")
    return path


@contextmanager
def running_browser() -> Generator[Browser, None, None]:
    """One Chromium for a `with` block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Seen:
    """What a page has done that none may do: errors in the console, requests to elsewhere.

    A refusal that a test asks for is an error in the console, too: `expected` are parts of such lines.
    """

    address: str
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note what `page` does from now on."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._on_request)

    def check(self) -> None:
        """Fail over what was seen and not expected."""
        bad = [fault for fault in self.faults if not any(part in fault for part in self.expected)]
        assert not bad, bad

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _on_request(self, request: Request) -> None:
        place = urlsplit(request.url)
        if (
            place.scheme in ("http", "https", "ws", "wss")
            and f"{place.scheme}://{place.netloc}" != self.address
        ):
            self.faults.append(f"request to elsewhere: {request.url}")


@contextmanager
def opened(
    browser: Browser,
    address: str,
    *,
    path: str = "/",
    viewport: ViewportSize = WIDE,
    dark: bool = False,
    motion: bool = False,
    wait: bool = True,
) -> Generator[tuple[Page, Seen], None, None]:
    """A fresh browser's page of a server, watched to the end of the block."""
    context = browser.new_context(
        viewport=viewport,
        color_scheme="dark" if dark else "light",
        reduced_motion="no-preference" if motion else "reduce",
        base_url=address,
    )
    context.set_default_timeout(PATIENCE * 1000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, seen = context.new_page(), Seen(address)
    seen.watch(page)
    page.goto(path)
    if wait:
        page.locator("main > *").first.wait_for()
    try:
        yield page, seen
    finally:
        context.close()
    seen.check()
