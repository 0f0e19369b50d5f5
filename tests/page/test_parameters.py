"""Controls of decoding parameters, made from the schema, and constraints, with the server's own refusals."""

import json

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.faults.process import ServerProcess
from tests.page.browser import Seen
from tests.page.conftest import Open
from tests.page.talking import ask, composer, finished, last, open_with, sent_body

IMPOSSIBLE = '{"type": "integer", "minimum": 3, "maximum": 2}'


def find(page: Page, name: str) -> None:
    page.get_by_label("Find a parameter").fill(name)


def test_controls_are_those_of_the_openapi_document(open_page: Open, server: ServerProcess) -> None:
    page = open_page()
    shown = page.request.get("/page/parameters.json").json()["parameters"]
    schemas = httpx.get(f"{server.address}/openapi.json").json()["components"]["schemas"]
    fields = schemas["ChatCompletionRequest"]["properties"]
    for parameter in shown:
        field = fields[parameter["name"]]
        assert parameter["description"] == field["description"]
        members = [member for member in field["anyOf"] if member != {"type": "null"}]
        assert members in ([parameter["schema"]], parameter["schema"].get("anyOf"))
    for parameter in shown:
        assert page.locator(f"#p-{parameter['name']}").count() == 1, parameter["name"]
    find(page, "top_p")
    expect(page.locator("#p-top_p")).to_have_attribute("max", "1")


def test_a_changed_one_is_marked_and_sent_and_goes_back(open_page: Open) -> None:
    page = open_page()
    control = page.locator(".control", has=page.locator("#p-min_p"))
    find(page, "min_p")
    expect(control).not_to_have_class("control is-changed")
    page.locator("#p-min_p").fill("0.2")
    expect(control).to_have_class("control is-changed")
    expect(page.get_by_label("min_p, slider")).to_have_value("0.2")
    find(page, "")
    page.locator("summary", has_text="End").click()
    page.locator("#p-stop").fill("one\ntwo")
    body = sent_body(page)
    assert (body["min_p"], body["stop"]) == (0.2, ["one", "two"])
    page.get_by_role("button", name="Reset min_p").click()
    assert "min_p" not in sent_body(page)
    page.get_by_role("button", name="Reset 1").click()
    assert "stop" not in sent_body(page)


def test_neutral_ones_are_quiet_until_a_preset_uses_them(open_page: Open) -> None:
    page = open_page()
    control = page.locator(".control", has=page.locator("#p-presence_penalty"))
    find(page, "presence_penalty")
    expect(control).to_have_class("control is-quiet")
    page.get_by_role("button", name="creative").click()
    expect(control).to_have_class("control")
    expect(page.locator("#p-presence_penalty")).to_have_attribute("placeholder", "0.3")
    assert sent_body(page)["preset"] == "creative"


def test_a_refused_value_is_told_of_at_its_control(open_page: Open, seen: list[Seen]) -> None:
    page = open_page()
    seen[0].expected.append("400")
    find(page, "top_p")
    page.locator("#p-top_p").fill("5")
    composer(page).fill("Hi")
    composer(page).press("Enter")
    told = page.locator("#f-top_p")
    expect(told).to_contain_text("must be from 0 to 1")
    expect(last(page)).to_contain_text(told.inner_text())
    page.locator("#p-top_p").fill("0.5")
    page.get_by_role("button", name="Answer again").click()
    finished(page, 2)
    expect(told).to_have_count(0)
    expect(last(page).locator(".prose")).not_to_be_empty()


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("json_schema", IMPOSSIBLE, "minimum"),
        ("grammar", "root ::= other", "other"),
        ("regex", "(unclosed", "unclosed"),
        ("json_schema", '{"type":', "This is no JSON"),
    ],
    ids=["schema", "grammar", "regex", "no JSON"],
)
def test_a_constraint_that_cannot_be_held_is_told_of_in_place(
    open_page: Open, seen: list[Seen], kind: str, text: str, message: str
) -> None:
    page = open_page()
    seen[0].expected.append("400")
    page.get_by_label("Answer is").select_option(kind)
    page.get_by_label("Constraint", exact=True).fill(text)
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#constraint-fault")).to_contain_text(message)
    page.get_by_label("Constraint", exact=True).fill(f"{text} ")
    expect(page.locator("#constraint-fault")).to_be_empty()
    composer(page).fill("Hi")
    composer(page).press("Enter")
    expect(page.locator("#constraint-fault")).to_contain_text(message)


def test_an_answer_keeps_to_its_schema(open_page: Open) -> None:
    page = open_with(open_page, {"constraint": {"kind": "json_schema", "text": '{"const": {"a": [1, 2]}}'}})
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("The server can hold answers to it.")).to_be_visible()
    ask(page, "Hi")
    assert json.loads(last(page).locator(".prose").inner_text()) == {"a": [1, 2]}


def test_tools_that_are_no_json_are_told_of_and_nothing_is_sent(open_page: Open) -> None:
    page = open_with(open_page, {"tools": "[{]"})
    composer(page).fill("Hi")
    composer(page).press("Enter")
    expect(page.locator("#tools-fault")).to_contain_text("This is no JSON")
    expect(page.get_by_role("article")).to_have_count(0)
    expect(composer(page)).to_have_value("Hi")
