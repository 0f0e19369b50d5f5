"""The What if view: what it ranks is what the server then does."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.axe import check_in_all_looks
from tests.page.conftest import Open
from tests.page.lab import EXPLAIN, Json, go_on, percent, tokens, variant


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": "1.4", "top_k": "5"},
        {"top_n_sigma": "1.5", "min_p": "0"},
        {"top_p": "0.6", "repeat_penalty": "1.3"},
        {"typical_p": "0.4"},
    ],
    ids=str,
)
def test_a_slider_ranks_anew_without_a_request_and_the_server_does_the_same(
    open_page: Open, values: dict[str, str]
) -> None:
    page = _begun(open_page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name, value in values.items():
        page.locator(f"#k-{name}").fill(value)
    expect(page.get_by_text("with ").filter(has_text=next(iter(values)))).to_be_visible()
    told = _chances(page)
    expect(page.get_by_text("Not known exactly here")).to_have_count(0)
    assert asked == []
    with page.expect_response(EXPLAIN) as answered:
        page.get_by_role("button", name="Run from here").click()
    expect(page.get_by_role("list", name="Branches").get_by_role("button")).to_have_count(2)
    step = variant(answered.value)["steps"][0]
    assert step["position"] > 0
    wanted = {one["text"]: one["probability"] for one in step["stages"][-1]["candidates"]}
    likeliest = sorted(wanted.values(), reverse=True)[: len(told)]
    assert told[: len(likeliest)] == pytest.approx(likeliest, abs=6e-4)


def test_the_order_of_the_samplers_counts(open_page: Open) -> None:
    page = _begun(open_page)
    for _ in range(6):
        page.get_by_role("button", name="temperature earlier").click()
    expect(page.get_by_role("button", name="temperature earlier")).to_be_disabled()
    heads = page.get_by_role("columnheader").locator(".lab-stage-name")
    expect(heads.nth(1)).to_have_text("temperature")
    with page.expect_response(EXPLAIN) as answered:
        page.get_by_role("button", name="Run from here").click()
    names = [stage["name"] for stage in variant(answered.value)["steps"][0]["stages"]]
    assert names[:2] == ["raw", "temperature"]


def test_what_is_not_stored_is_said(open_page: Open) -> None:
    page = _begun(open_page)
    page.get_by_label("top_k, number").fill("0")
    page.get_by_label("top_k, number").press("Enter")
    page.get_by_label("min_p, number").fill("0")
    page.get_by_label("min_p, number").press("Enter")
    page.get_by_label("top_p, number").fill("0.99999")
    page.get_by_label("top_p, number").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("of the probability is wanted")


def test_the_keyboard_alone_is_enough(open_page: Open) -> None:
    page = _begun(open_page)
    slider = page.locator("#k-temperature")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("with temperature 0.85")).to_be_visible()
    page.get_by_role("button", name="Back to what was").press("Enter")
    expect(page.get_by_text("Nothing is changed yet.")).to_be_visible()


def test_without_a_text_it_says_where_to_begin(open_page: Open) -> None:
    page = open_page("/#/whatif")
    page.get_by_role("link", name="Let the model write one").click()
    expect(page.get_by_role("heading", name="Tokens", level=1)).to_be_visible()


def test_everybody_can_use_it(open_page: Open) -> None:
    page = _begun(open_page)
    page.locator("#k-top_k").fill("5")
    check_in_all_looks(page)


def _begun(open_page: Open, **options: object) -> Page:
    """The view at the first token of a text, with all that it asks the server for."""
    page = open_page("/#/tokens", **options)
    told: Json = go_on(page)
    tokens(page).first.click()
    assert len(told["steps"][0]["stages"][0]["candidates"]) == 200
    with page.expect_response("**/tokenize"):
        page.get_by_role("link", name="What if", exact=True).first.click()
    page.locator("#k-temperature").wait_for()
    return page


def _chances(page: Page) -> list[float]:
    """How likely tokens are to be drawn now, the likeliest first."""
    cells = page.locator(".lab-chances tbody tr:has(.lab-chip) td:nth-child(3)").all_inner_texts()
    return sorted((percent(text) for text in cells if text.strip() != "cut"), reverse=True)
