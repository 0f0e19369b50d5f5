"""The Compare view: answers side by side, and a sweep of one parameter."""

from playwright.sync_api import Page, Request, expect

from tests.page.axe import check_in_all_looks
from tests.page.conftest import Open
from tests.page.lab import EXPLAIN, Json, body


def test_columns_answer_one_prompt_side_by_side(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_label("temperature", exact=True).first.fill("0")
    page.get_by_label("temperature", exact=True).first.press("Enter")
    bodies = _bodies(page)
    _compare(page)
    assert [one["temperature"] for one in bodies] == [0, 1.2]
    assert len({one["seed"] for one in bodies}) == 1
    for column in page.locator(".lab-column").all():
        assert len(column.locator(".lab-answer").inner_text()) > 10
        facts = dict(
            zip(column.locator("dt").all_inner_texts(), column.locator("dd").all_inner_texts(), strict=True)
        )
        assert "–" not in facts.values()
        assert list(facts) == ["tokens", "tokens/s", "first token", "cached", "distinct-2", "mean surprise"]
        assert float(facts["tokens/s"]) > 0
        assert 0 < float(facts["distinct-2"]) <= 1


def test_a_message_is_answered_too_and_columns_come_and_go(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_role("button", name="a message to answer").click()
    page.get_by_label("Prompt", exact=True).fill("What is the capital of France?")
    page.get_by_role("button", name="Add a column").click()
    page.get_by_role("button", name="Add a column").click()
    expect(page.get_by_role("button", name="Add a column")).to_have_count(0)
    page.get_by_role("button", name="Remove column 4").click()
    third = page.get_by_role("region", name="Column 3")
    third.get_by_label("Change a parameter").select_option("top_k")
    third.get_by_label("top_k", exact=True).fill("1")
    third.get_by_label("top_k", exact=True).press("Enter")
    bodies = _bodies(page)
    _compare(page)
    assert len(bodies) == 3
    assert bodies[2]["top_k"] == 1
    expect(third.locator(".lab-answer")).to_contain_text("Paris")


def test_a_sweep_is_small_multiples_of_one_scale_and_a_table(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_role("combobox", name="parameter", exact=True).select_option("top_k")
    page.get_by_label("values, up to 9").fill("1, 5, 40")
    with page.expect_response(EXPLAIN) as answered:
        page.get_by_role("button", name="Sweep", exact=True).click()
    told = answered.value.json()["variants"]
    assert [variant["parameters"]["top_k"] for variant in told] == [1, 5, 40]
    expect(page.locator(".lab-multiple")).to_have_count(3)
    for figure, variant in zip(page.locator(".lab-multiple").all(), told, strict=True):
        expect(figure.locator("rect")).to_have_count(len(variant["steps"]))
        assert figure.locator(".lab-multiple-text").text_content().strip() == variant["text"].strip()  # type: ignore[union-attr]
    rows = page.get_by_role("region", name="The sweep in numbers").locator("tbody tr")
    expect(rows).to_have_count(3)
    surprise = [step["surprise"] for step in told[1]["steps"]]
    assert f"{sum(surprise) / len(surprise):.2f}" in rows.nth(1).inner_text()


def test_values_that_are_no_numbers_are_refused_where_they_are_written(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_label("values, up to 9").fill("1, much")
    expect(page.get_by_text("Write one to 9 numbers")).to_be_visible()
    expect(page.get_by_role("button", name="Sweep", exact=True)).to_be_disabled()


def test_the_keyboard_alone_is_enough(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator(".lab-answer")).to_have_count(2)
    page.get_by_label("Prompt", exact=True).press("Escape")
    expect(page.locator(".lab-column[aria-busy=true]")).to_have_count(0)


def test_everybody_can_use_it(open_page: Open) -> None:
    page = open_page("/#/compare")
    page.get_by_label("tokens at most").fill("12")
    _compare(page)
    page.get_by_role("button", name="Sweep", exact=True).click()
    page.locator(".lab-multiple").last.wait_for()
    check_in_all_looks(page)


def _compare(page: Page) -> None:
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator(".lab-answer")).to_have_count(page.locator(".lab-column").count())
    expect(page.locator(".lab-column[aria-busy=true]")).to_have_count(0)


def _bodies(page: Page) -> list[Json]:
    """The bodies of requests for answers from now on."""
    bodies: list[Json] = []

    def note(request: Request) -> None:
        if request.url.endswith("/completions"):
            bodies.append(body(request))

    page.on("request", note)
    return bodies


def test_a_count_can_be_emptied_and_typed_anew(open_page: Open) -> None:
    page = open_page("/#/compare")
    count = page.get_by_label("tokens at most")
    before = count.input_value()
    count.fill("")
    assert count.input_value() == ""
    count.fill("23")
    assert count.input_value() == "23"
    count.fill("0")
    count.blur()
    assert count.input_value() == "23"
    assert before != "23"
