"""The Tokens view, in a real browser, with the model that ships."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.axe import check_in_all_looks
from tests.page.browser import Seen
from tests.page.conftest import Open
from tests.page.lab import EXPLAIN, body, go_on, percent, tokens, variant

_TITLES = {"raw": "model", "top_k": "top-k", "top_p": "top-p", "min_p": "min-p"}


def test_a_token_tells_how_it_was_chosen(open_page: Open) -> None:
    page = open_page("/#/tokens")
    told = go_on(page)
    tokens(page).nth(1).click()
    expect(tokens(page).nth(1)).to_have_attribute("aria-pressed", "true")
    step = told["steps"][1]
    heads = page.get_by_role("columnheader").locator(".lab-stage-name")
    expect(heads).to_have_text([_TITLES.get(one["name"], one["name"]) for one in step["stages"]])
    drawn = page.locator("tr.is-drawn")
    expect(drawn).to_contain_text("drawn")
    shown = drawn.locator(".lab-number").last.inner_text()
    assert percent(shown) == pytest.approx(step["probability"], abs=6e-4)
    counts = page.locator(".lab-counts td").all_inner_texts()
    left = [int("".join(filter(str.isdigit, text.split("−")[0]))) for text in counts]
    assert left == [one["left"] for one in step["stages"]]
    expect(page.locator(".lab-cutmark").first).to_be_visible()


def test_another_candidate_sends_the_text_another_way_in_a_branch(open_page: Open) -> None:
    page = open_page("/#/tokens")
    told = go_on(page)
    before = tokens(page).all_inner_texts()
    tokens(page).nth(2).click()
    chosen = _other(told["steps"][2])
    with page.expect_response(EXPLAIN) as answered:
        page.locator("button.lab-pick", has_text=chosen["text"].strip()).first.click()
    ids = [step["token"]["id"] for step in told["steps"]]
    [*first, last] = body(answered.value.request)["continue_from"]
    assert first == ids[:2]
    assert last in [one["id"] for one in told["steps"][2]["stages"][0]["candidates"]]
    more = variant(answered.value)["steps"]
    expect(tokens(page)).to_have_count(3 + len(more))
    expect(page.get_by_text("picked by you")).to_be_visible()
    branches = page.get_by_role("list", name="Branches").get_by_role("button")
    expect(branches).to_have_count(2)
    branches.first.click()
    expect(tokens(page)).to_have_count(len(before))
    assert tokens(page).all_inner_texts() == before


def test_the_keyboard_alone_is_enough(open_page: Open) -> None:
    page = open_page("/#/tokens")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    tokens(page).nth(3).wait_for()
    _tab_to(page, "lab-token")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(tokens(page).nth(2)).to_be_focused()
    _tab_to(page, "lab-pick")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Branches").get_by_role("button")).to_have_count(2)


def test_further_tokens_follow_those_that_stand(open_page: Open) -> None:
    page = open_page("/#/tokens")
    told = go_on(page, 3)
    with page.expect_response(EXPLAIN) as answered:
        page.get_by_role("button", name="Further tokens").click()
    asked = body(answered.value.request)["continue_from"]
    assert asked == [step["token"]["id"] for step in told["steps"]]
    expect(tokens(page)).to_have_count(3 + len(variant(answered.value)["steps"]))


def test_what_the_server_refuses_is_said(open_page: Open, seen: list[Seen]) -> None:
    page = open_page("/#/tokens")
    seen[0].expected.append("400")
    page.evaluate("""localStorage.setItem("caravan.settings", '{"parameters": {"top_p": 7}}')""")
    page.reload()
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("top_p")


# The key to the colours has all tints, and axe measures the contrast of each.
def test_everybody_can_use_it(open_page: Open) -> None:
    page = open_page("/#/tokens")
    go_on(page)
    check_in_all_looks(page)


def _other(step: dict[str, object]) -> dict[str, str]:
    """A likely candidate that was not drawn, and whose text has letters."""
    stages, token = step["stages"], step["token"]
    assert isinstance(stages, list)
    assert isinstance(token, dict)
    return next(
        one for one in stages[0]["candidates"] if one["id"] != token["id"] and one["text"].strip().isalpha()
    )


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until something of a class has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if name in page.evaluate("document.activeElement.className").split():
            return
    raise AssertionError(f"Tab does not reach {name}")
