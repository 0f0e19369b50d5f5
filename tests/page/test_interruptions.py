"""What comes between: a stop, a second try, a look elsewhere, while something is being written."""

import re

from playwright.sync_api import Page, Route, expect

from tests.page.browser import Seen
from tests.page.conftest import Open
from tests.page.lab import EXPLAIN, go_on, tokens
from tests.page.talking import ask, composer, finished, last, open_with

ENDLESS = {"parameters": {"ignore_eos": True, "seed": 1}}


def test_stop_sends_nothing_of_what_is_typed(open_page: Open) -> None:
    page = _writing(open_page)
    composer(page).fill("Not yet.")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped by you")).to_be_visible()
    finished(page, 2)
    expect(composer(page)).to_have_value("Not yet.")


def test_what_is_typed_stays_where_another_conversation_is_opened(open_page: Open) -> None:
    page = open_page()
    ask(page, "Hi")
    composer(page).fill("A long thought.")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Hi", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(2)
    expect(composer(page)).to_have_value("A long thought.")


def test_an_edited_text_stays_while_it_cannot_be_sent(open_page: Open) -> None:
    page = _writing(open_page)
    composer(page).press("Escape")
    finished(page, 2)
    page.get_by_role("button", name="Edit").click()
    edited = page.get_by_label("Edited message")
    edited.fill("Hello")
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_role("button", name="Send in a branch")).to_be_disabled()
    edited.press("Control+Enter")
    expect(edited).to_have_value("Hello")
    composer(page).press("Escape")
    finished(page, 2)
    edited.press("Control+Enter")
    expect(page.get_by_role("article", name="You")).to_contain_text("Hello")
    composer(page).press("Escape")
    finished(page, 2)


def test_a_conversation_that_is_deleted_is_written_no_more(open_page: Open) -> None:
    page = _writing(open_page)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/chat/completions")):
        page.get_by_role("button", name="Delete Tell me a long story.").click()
    expect(page.get_by_role("article")).to_have_count(0)
    page.reload()
    expect(page.locator(".conversation")).to_have_count(0)


def test_what_was_written_outlasts_the_page(open_page: Open) -> None:
    page = _writing(open_page)
    # Longer than the page waits before it keeps what has come.
    page.wait_for_timeout(4000)
    page.reload()
    page.get_by_role("button", name="Tell me a long story.", exact=True).click()
    expect(last(page)).to_contain_text("Chapter")


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(open_page: Open) -> None:
    page = open_page()
    event = 'data: {"choices": [{"index": 0, "delta": {"content": "Once upon"}}]}\n\n'
    page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=event)
    )
    ask(page, "Tell me a story.")
    expect(last(page)).to_contain_text("Once upon")
    expect(last(page).locator(".is-error")).to_contain_text("broke off before the answer was whole")


def test_a_branch_hangs_where_it_was_begun(open_page: Open) -> None:
    page = open_page("/#/tokens")
    go_on(page)
    held = _held(page)
    tokens(page).nth(4).click()
    page.get_by_role("button", name=re.compile("^Go on with")).first.click()
    _wait_for(page, held)
    held.pop().continue_()
    branches = page.get_by_role("list", name="Branches").get_by_role("button")
    expect(branches).to_have_count(2)
    branches.first.click()
    tokens(page).nth(6).click()
    page.get_by_role("button", name=re.compile("^Go on with")).first.click()
    _wait_for(page, held)
    branches.last.click()
    held.pop().continue_()
    expect(branches).to_have_count(3)
    expect(page.locator(".lab-branches li").last).to_have_class("lab-depth-1")
    expect(tokens(page).nth(6)).to_have_attribute("aria-pressed", "true")


def test_a_comparison_that_is_begun_again_is_the_only_one(open_page: Open) -> None:
    page = open_with(open_page, ENDLESS)
    page.goto("/#/compare")
    page.get_by_label("tokens at most").fill("4000")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator(".lab-answer").first).not_to_be_empty()
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator(".lab-answer").first).not_to_be_empty()
    expect(page.locator(".lab-column[aria-busy=true]")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".lab-column[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_visible()


def test_a_view_that_fails_leaves_the_others(open_page: Open, seen: list[Seen]) -> None:
    page = open_page()
    seen[0].expected.append("TypeError")
    page.evaluate("localStorage.setItem('caravan.comparison', '{\"columns\": [null]}')")
    page.reload()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("alert")).to_contain_text("This view has failed.")
    page.get_by_role("link", name="Chat").click()
    expect(composer(page)).to_be_visible()


def _writing(open_page: Open) -> Page:
    """A page on which an answer is being written that does not end by itself."""
    page = open_with(open_page, ENDLESS)
    composer(page).fill("Tell me a long story.")
    composer(page).press("Enter")
    expect(last(page)).to_contain_text("Chapter")
    return page


def _held(page: Page) -> list[Route]:
    """Requests to explain, from now on, wait in this list until the test lets them go."""
    held: list[Route] = []
    page.route(EXPLAIN, lambda route: held.append(route))
    return held


def _wait_for(page: Page, held: list[Route]) -> None:
    while not held:
        page.wait_for_timeout(20)
