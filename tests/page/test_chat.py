"""The Chat, in a real browser, with the model that ships."""

import json
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.faults.process import server_process
from tests.page.browser import opened
from tests.page.conftest import Open
from tests.page.talking import ask, composer, finished, last, open_with, sent_body

FRANCE = "What is the capital of France?"
SPAIN = "What is the capital of Spain?"
GREEDY = {"parameters": {"temperature": 0}}


def test_an_answer_is_streamed(open_page: Open) -> None:
    page = open_with(open_page, GREEDY)
    ask(page, FRANCE)
    expect(last(page)).to_contain_text("Paris")
    expect(composer(page)).to_have_value("")
    expect(last(page).get_by_text("tokens")).to_be_visible()


def test_an_edited_message_is_a_branch_and_the_first_one_stays(open_page: Open) -> None:
    page = open_with(open_page, GREEDY)
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


def test_an_answer_can_be_stopped_and_asked_for_again(open_page: Open) -> None:
    page = open_with(open_page, {"parameters": {"ignore_eos": True, "seed": 1}})
    composer(page).fill("Tell me a long story.")
    composer(page).press("Enter")
    expect(last(page)).to_contain_text("Chapter")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped by you")).to_be_visible()
    finished(page, 2)
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_text("2 of 2")).to_be_visible()
    composer(page).press("Escape")
    finished(page, 2)
    expect(composer(page)).to_be_enabled()


def test_the_system_prompt_goes_before_the_conversation(open_page: Open) -> None:
    page = open_with(open_page, GREEDY)
    page.get_by_text("System prompt").click()
    page.get_by_label("System prompt").fill("Your name is Ada.")
    ask(page, "What is your name?")
    expect(last(page)).to_contain_text("Ada")
    assert sent_body(page)["messages"] == [
        {"role": "system", "content": "Your name is Ada."},
        {"role": "user", "content": "What is your name?"},
        {"role": "assistant", "content": last(page).locator(".prose").inner_text()},
    ]


def test_a_thought_is_folded(open_page: Open) -> None:
    page = open_with(open_page, GREEDY)
    page.get_by_role("group", name="Thinking").get_by_role("button", name="on").click()
    ask(page, FRANCE)
    thought = last(page).locator("details.thought")
    expect(thought).not_to_have_attribute("open", "")
    expect(thought.locator(".plain")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.locator(".plain")).to_be_visible()
    expect(last(page).locator(".prose")).to_contain_text("Paris")


def test_a_call_is_shown_and_its_result_goes_back(open_page: Open) -> None:
    page = open_with(open_page, GREEDY)
    page.get_by_text("Tools", exact=True).click()
    page.get_by_role("button", name="Put in an example").click()
    ask(page, "What is the weather in Paris?")
    call = page.get_by_role("region", name="Call of get_weather")
    assert json.loads(call.locator("pre").inner_text()) == {"city": "Paris"}
    page.get_by_label("Result of get_weather").fill("21 degrees and sunny")
    page.get_by_role("button", name="Send the result").click()
    finished(page, 4)
    expect(last(page)).to_contain_text("sunny")


def test_text_files_become_part_of_the_message(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    text, picture = tmp_path / "facts.md", tmp_path / "dot.png"
    text.write_text("A ```fence``` is in it.\n")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    page.locator("input.file-input").set_input_files([text, picture])
    expect(page.get_by_role("alert").filter(has_text="dot.png is no text file")).to_be_visible()
    expect(composer(page)).to_have_value("facts.md:\n````\nA ```fence``` is in it.\n````\n")


def test_what_is_written_is_heard_in_sentences(open_page: Open) -> None:
    page = open_page()
    ask(page, "Tell me a story.")
    heard = page.get_by_role("log").locator("p").all_inner_texts()
    assert len(heard) > 1
    assert " ".join(" ".join(heard).split()) == " ".join(last(page).locator(".prose").inner_text().split())


def test_a_server_that_is_gone_is_told_of(browser: Browser) -> None:
    with ExitStack() as stack:
        with server_process("--threads", "1", "--usage-db", "none") as server:
            page, seen = stack.enter_context(opened(browser, server.address))
            expect(page.get_by_label("Model")).to_have_value("caravan-resident")
        seen.expected.append("ERR_CONNECTION")
        ask(page, FRANCE)
        expect(last(page)).to_contain_text("The server cannot be reached")
