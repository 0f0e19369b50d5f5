"""What stays in the browser: conversations, found again, exported and imported; the key, for the session."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.faults.process import server_process
from tests.page.browser import Seen
from tests.page.conftest import Open
from tests.page.talking import ask, composer, finished, last

HOSTILE = """Look: <img src="x" onerror="window.hit = 1"> <script>window.hit = 1</script>
[a link](javascript:window.hit=1) and [another](https://elsewhere.example/) ![picture](https://elsewhere.example/)
<iframe src="https://elsewhere.example"></iframe><form action="/"><input name="x"></form>
<p style="color: red">red</p>
"""


def kept(page: Page) -> list[str]:
    return page.get_by_role("complementary", name="Conversations").get_by_role("listitem").all_inner_texts()


def exported(page: Page) -> dict[str, Any]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    document: dict[str, Any] = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    return document


def test_conversations_are_found_deleted_and_taken_elsewhere(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    ask(page, "Say the word zebra.")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("article")).to_have_count(0)
    ask(page, "What is 2 + 2?")
    assert kept(page) == ["What is 2 + 2?", "Say the word zebra."]
    page.get_by_label("Search conversations").fill("ZEBRA")
    assert kept(page) == ["Say the word zebra."]
    page.get_by_label("Search conversations").fill("")
    document = exported(page)
    page.get_by_role("button", name="Delete Say the word zebra.").click()
    page.reload()
    expect(page.get_by_role("button", name="What is 2 + 2?", exact=True)).to_be_visible()
    assert kept(page) == ["What is 2 + 2?"]
    elsewhere = open_page()
    assert kept(elsewhere) == []
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(document))
    elsewhere.locator("input.import-input").set_input_files(path)
    expect(elsewhere.get_by_text("2 conversations are here now.")).to_be_visible()
    elsewhere.reload()
    expect(elsewhere.get_by_role("button", name="Say the word zebra.", exact=True)).to_be_visible()
    assert exported(elsewhere) == document


def test_what_was_deleted_comes_back_when_asked_for(open_page: Open) -> None:
    page = open_page()
    ask(page, "Say the word zebra.")
    page.get_by_role("button", name="Delete Say the word zebra.").click()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("article")).to_have_count(2)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Say the word zebra.", exact=True)).to_be_visible()


def test_tabs_of_one_browser_show_the_same_conversations(open_page: Open) -> None:
    page = open_page()
    other = page.context.new_page()
    other.goto(page.url)
    expect(composer(other)).to_be_visible()
    ask(page, "Say the word zebra.")
    other.get_by_role("button", name="Say the word zebra.", exact=True).click()
    finished(other, 2)
    ask(other, "And again?")
    finished(page, 4)
    assert page.get_by_role("article").all_inner_texts() == other.get_by_role("article").all_inner_texts()
    page.get_by_role("button", name="Delete Say the word zebra.").click()
    expect(other.get_by_role("article")).to_have_count(0)


def test_files_that_are_none_are_refused_in_words(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    path = tmp_path / "kept.json"
    broken = {"format": "caravan-conversations", "conversations": [{"id": "a"}]}
    message = {"role": "user", "content": "", "created": 1}
    circle = {"a": {**message, "id": "a", "parent": "b"}, "b": {**message, "id": "b", "parent": "a"}}
    strange = {"a": {**message, "id": "a", "parent": None, "calls": 5}}
    whole = {"id": "a", "title": "", "system": "", "created": 1, "updated": 1}
    for text, told in (
        ("{", "This file is no JSON."),
        ("[]", "has no conversations that were exported here"),
        (json.dumps(broken), "A conversation in this file is broken."),
        (
            json.dumps({**broken, "conversations": [{**whole, "first": None, "messages": circle}]}),
            "is broken",
        ),
        (
            json.dumps({**broken, "conversations": [{**whole, "first": "a", "messages": strange}]}),
            "is broken",
        ),
    ):
        path.write_text(text)
        page.locator("input.import-input").set_input_files(path)
        expect(page.get_by_text(told)).to_be_visible()


def test_what_is_nested_too_deep_is_shown_as_it_was_written(open_page: Open, tmp_path: Path) -> None:
    content = "Well.\n\n" + ">" * 5000 + " deep"
    message = {"id": "m", "parent": None, "role": "assistant", "content": content, "created": 1}
    one = {"id": "c", "title": "Deep", "system": "", "created": 1, "updated": 1, "first": "m"}
    document = {"format": "caravan-conversations", "version": 1}
    path = tmp_path / "kept.json"
    path.write_text(json.dumps({**document, "conversations": [{**one, "messages": {"m": message}}]}))
    page = open_page()
    page.locator("input.import-input").set_input_files(path)
    page.get_by_role("button", name="Deep", exact=True).click()
    expect(last(page).locator(".prose")).to_contain_text("> deep")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    last(page).get_by_role("button", name="Copy").click()
    expect(last(page).get_by_role("button", name="Copied")).to_be_visible()


def test_what_an_answer_has_of_html_does_nothing(open_page: Open, tmp_path: Path) -> None:
    message = {"id": "m", "parent": None, "role": "assistant", "content": HOSTILE, "created": 1}
    one = {"id": "c", "title": "Hostile", "system": "", "created": 1, "updated": 1, "first": "m"}
    document = {"format": "caravan-conversations", "version": 1}
    path = tmp_path / "kept.json"
    path.write_text(json.dumps({**document, "conversations": [{**one, "messages": {"m": message}}]}))
    page = open_page()
    page.locator("input.import-input").set_input_files(path)
    page.get_by_role("button", name="Hostile", exact=True).click()
    prose = last(page).locator(".prose")
    expect(prose).to_contain_text('<img src="x" onerror="window.hit = 1">')
    expect(prose).to_contain_text('<p style="color: red">red</p>')
    assert prose.locator("img, script, iframe, form, input, [style]").count() == 0
    links = prose.locator("a[href]").all()
    assert [link.get_attribute("href") for link in links] == ["https://elsewhere.example/"] * 2
    assert {link.get_attribute("rel") for link in links} == {"noopener noreferrer"}
    assert page.evaluate("window.hit") is None


def test_a_key_is_asked_for_once_and_kept_for_the_session(open_page: Open, seen: list[Seen]) -> None:
    with server_process("--threads", "1", "--usage-db", "none", "--api-key", "right") as server:
        page = open_page(address=server.address)
        seen[0].expected.append("401")
        dialog = page.get_by_role("dialog", name="This server asks for a key")
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_label("Key").press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("wrong or has been revoked")
        dialog.get_by_label("Key").fill("right")
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog).to_be_hidden()
        ask(page, "Hi")
        expect(last(page).locator(".prose")).not_to_be_empty()
        page.reload()
        expect(page.get_by_label("Model", exact=True)).to_have_value("caravan-resident")
        assert page.evaluate("sessionStorage['caravan.key']") == "right"
        assert "right" not in page.evaluate("JSON.stringify(localStorage)")
        page.get_by_role("link", name="Request").click()
        expect(page.locator("pre.code")).to_contain_text("Bearer $CARAVAN_KEY")
        again = open_page(address=server.address)
        seen[1].expected.append("401")
        again.get_by_role("dialog").get_by_role("button", name="Not now").click()
        expect(again.get_by_role("button", name="No models: try again")).to_be_visible()
        expect(composer(again)).to_be_visible()
