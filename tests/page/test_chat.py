"""The Chat, in a real browser, with the model that ships."""

from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.talking import ask, composer, finished, last

FRANCE = "What is the capital of France?"
SPAIN = "What is the capital of Spain?"


def test_an_answer_is_streamed(open_page: Open) -> None:
    page = open_page()
    ask(page, FRANCE)
    expect(last(page)).to_contain_text("Paris")
    expect(composer(page)).to_have_value("")
    expect(last(page).get_by_text("tokens")).to_be_visible()


def test_an_edited_message_is_a_branch_and_the_first_one_stays(open_page: Open) -> None:
    page = open_page()
    ask(page, FRANCE)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Edited message").fill(SPAIN)
    page.get_by_role("button", name="Send in a branch").click()
    finished(page, 2)
    expect(last(page)).to_contain_text("Madrid")
    page.get_by_role("button", name="Earlier branch").click()
    expect(last(page)).to_contain_text("Paris")
    page.reload()
    page.get_by_role("button", name=FRANCE, exact=True).click()
    expect(last(page)).to_contain_text("Paris")
    page.get_by_role("button", name="Later branch").click()
    expect(last(page)).to_contain_text("Madrid")
