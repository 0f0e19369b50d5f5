"""What tests do in the Chat, in its own words."""

import json
from collections.abc import Mapping

from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import Open
from tests.waiting import PATIENCE

# Playwright's assertions wait, too; theirs is a patience of their own.
expect.set_options(timeout=PATIENCE * 1000)


def composer(page: Page) -> Locator:
    """Where the reader writes."""
    return page.get_by_label("Message", exact=True)


def ask(page: Page, text: str) -> None:
    """Write a message, send it by the keyboard, and wait until the answer is whole."""
    count = page.get_by_role("article").count()
    composer(page).fill(text)
    composer(page).press("Enter")
    finished(page, count + 2)


def finished(page: Page, count: int) -> None:
    """Wait until there are so many messages, and none is being written."""
    expect(page.get_by_role("article")).to_have_count(count)
    expect(page.locator("article[aria-busy=true]")).to_have_count(0)


def last(page: Page) -> Locator:
    """The last message."""
    return page.get_by_role("article").last


def open_with(open_page: Open, settings: Mapping[str, object], **options: object) -> Page:
    """Open the page as if these settings had been made before."""
    page = open_page(**options)
    # By the next document itself, once: what the first one still has to write would come after a script here.
    kept = json.dumps(json.dumps(settings))
    page.add_init_script(
        "if (!sessionStorage.getItem('begun')) {"
        f" sessionStorage.setItem('begun', 'yes'); localStorage.setItem('caravan.settings', {kept}); }}"
    )
    page.reload()
    expect(composer(page)).to_be_visible()
    return page


def sent_body(page: Page) -> dict[str, object]:
    """What the Request view says would be sent."""
    page.get_by_role("link", name="Request").click()
    page.get_by_role("button", name="JSON").click()
    body: dict[str, object] = json.loads(page.locator("pre.code").inner_text())
    page.get_by_role("link", name="Chat").click()
    return body
