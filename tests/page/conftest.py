"""A real server with the model that ships, and one Chromium for each process of the tests."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page

from tests.faults.process import ServerProcess
from tests.page.browser import Seen, opened, running_browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Generator[Browser, None, None]:
    """Chromium. Playwright keeps an event loop running, which is in the way of other modules."""
    with running_browser() as started:
        yield started


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server as a user starts it."""
    process = ServerProcess("--threads", "1", "--usage-db", "none")
    yield process
    assert process.stop() == 0, process.output


@pytest.fixture
def seen() -> list[Seen]:
    """What each page that this test has opened has done; `seen[0].expected` allows for refusals."""
    return []


@pytest.fixture
def open_page(browser: Browser, server: ServerProcess, seen: list[Seen]) -> Generator[Open, None, None]:
    """Open the page, by the words of `tests.page.browser.opened`; what it may not do fails the test."""
    with ExitStack() as stack:

        def open_page(path: str = "/", **options: object) -> Page:
            address = str(options.pop("address", server.address))
            page, watched = stack.enter_context(opened(browser, address, path=path, **options))  # type: ignore[arg-type]
            seen.append(watched)
            return page

        yield open_page
