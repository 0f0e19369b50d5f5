"""Keyboard alone, ears alone, narrow and wide, light and dark."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.page.axe import check_accessible
from tests.page.browser import NARROW, WIDE
from tests.page.conftest import Open
from tests.page.talking import ask, composer, finished, last, open_with

LOOKS = [(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)]
NAMES = ["light", "dark", "narrow", "narrow and dark"]
TALK = {"parameters": {"temperature": 0}, "tools": '[{"name": "get_weather", "parameters": {}}]'}


def tab_to(page: Page, wanted: Callable[[], Locator]) -> None:
    """Press Tab until that has the focus; each place on the way has a mark that can be seen."""
    for _ in range(150):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        outline = focused.evaluate("element => getComputedStyle(element).outlineStyle")
        boxed = focused.evaluate("element => getComputedStyle(element.parentElement).outlineStyle")
        assert (outline, boxed) != ("none", "none"), focused.evaluate("element => element.outerHTML")
        if wanted().evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("viewport", "dark"), LOOKS, ids=NAMES)
def test_nothing_keeps_people_out(open_page: Open, viewport: ViewportSize, dark: bool) -> None:
    page = open_with(open_page, TALK, viewport=viewport, dark=dark)
    check_accessible(page)
    ask(page, "What is the capital of France?")
    page.get_by_role("button", name="Answer again").click()
    finished(page, 2)
    check_accessible(page)
    assert fits(page)
    if viewport is NARROW:
        page.get_by_role("button", name="Conversations").click()
        expect(page.get_by_role("button", name="New conversation")).to_be_focused()
        check_accessible(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Conversations")).to_be_focused()
        page.get_by_role("button", name="Parameters").click()
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.locator("#p-temperature").fill("0.5")
    check_accessible(page)
    assert fits(page)
    page.goto("/#/request")
    expect(page.locator("pre.code")).to_be_visible()
    check_accessible(page)
    assert fits(page)


def test_the_keyboard_is_enough(open_page: Open) -> None:
    page = open_with(open_page, {"parameters": {"temperature": 0}})
    page.get_by_role("link", name="Skip to the view").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    tab_to(page, lambda: composer(page))
    page.keyboard.type("What is the capital of France?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    finished(page, 2)
    expect(last(page)).to_contain_text("Paris")
    expect(composer(page)).to_be_focused()
    tab_to(page, lambda: page.locator("#p-top_k"))
    page.keyboard.type("7")
    expect(page.locator(".control.is-changed")).to_have_count(2)
    page.get_by_role("main").focus()
    tab_to(page, lambda: page.get_by_role("button", name="Edit", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Edited message")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("What is the capital of Spain?")
    page.keyboard.press("Control+Enter")
    finished(page, 2)
    expect(last(page)).to_contain_text("Madrid")


def test_the_theme_is_kept_and_there_before_the_first_paint(open_page: Open) -> None:
    page = open_page()
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(back)
    assert light != dark
    page.reload()
    assert page.evaluate(back) == dark
    page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(back) == light


def test_those_who_want_no_motion_get_none(open_page: Open) -> None:
    page = open_page(viewport=NARROW)
    moved = "getComputedStyle(document.querySelector('.panel')).transitionDuration"
    assert page.evaluate(moved) == "0s"
    assert open_page(viewport=NARROW, motion=True).evaluate(moved) != "0s"
