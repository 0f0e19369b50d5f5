"""`/docs` in a real browser: it is shown, searched, tried out and given a key, and asks nobody else."""

from collections.abc import Iterator

import httpx
import pytest
from caravan.auth import keys_file
from playwright.sync_api import Browser, Locator, Page, expect

from tests.faults.process import ServerProcess
from tests.page.axe import violations
from tests.page.browser import NARROW, Seen, opened
from tests.page.conftest import Open
from tests.page.prefix_proxy import prefix_proxy
from tests.waiting import PATIENCE

CHAT = "Answer a conversation"
expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def docs(open_page: Open) -> Page:
    """The page with all routes."""
    return shown(open_page("/docs", wait=False))


@pytest.fixture(scope="module")
def read_only(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    """The same for tests that look and search, and leave it as it was."""
    with opened(browser, server.address, path="/docs", wait=False) as (page, _):
        yield shown(page)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server with keys, and one of them."""
    folder = tmp_path_factory.mktemp("keys")
    token = keys_file.add(folder / "keys.json", name="alice")
    server = ServerProcess("--threads", "1", "--data-dir", str(folder))
    yield server.address, token
    assert server.stop() == 0, server.output


def shown(page: Page) -> Page:
    expect(page.locator(".opblock").first).to_be_visible()
    return page


def operation(page: Page, summary: str) -> Locator:
    """One route, opened."""
    block = page.locator(".opblock", has=page.get_by_text(summary, exact=True)).first
    block.locator(".opblock-summary-control").click()
    expect(block.get_by_role("button", name="Execute")).to_be_visible()
    return block


def test_every_route_is_shown_in_groups(read_only: Page, server: ServerProcess) -> None:
    document = httpx.get(f"{server.address}/openapi.json").json()
    expect(read_only.locator(".opblock")).to_have_count(sum(map(len, document["paths"].values())))
    groups = read_only.locator(".opblock-tag").evaluate_all("all => all.map(one => one.dataset.tag)")
    assert groups == [tag["name"] for tag in document["tags"]]


@pytest.mark.parametrize(
    ("words", "found"),
    [("rerank", "/v1/rerank"), ("TOP_LOGPROBS chat", "/v1/chat/completions"), ("memory loaded", "/api/ps")],
)
def test_routes_are_found_by_words_and_fields(read_only: Page, words: str, found: str) -> None:
    read_only.get_by_label("Search").fill(words)
    expect(read_only.locator(f'.opblock [data-path="{found}"]').first).to_be_visible()
    expect(read_only.locator("output")).to_contain_text(" of ")
    num_shown = read_only.locator(".opblock").count()
    expect(read_only.locator("output")).to_contain_text(f"{num_shown} of")
    assert num_shown < 20
    read_only.get_by_label("Search").fill("")
    expect(read_only.locator("output")).not_to_contain_text(" of ")


def test_an_example_works_as_it_stands(docs: Page) -> None:
    block = operation(docs, CHAT)
    assert '"caravan-resident"' in block.locator("textarea").input_value()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_contain_text("200")
    expect(answer).to_contain_text("chat.completion")
    expect(block.locator(".curl-command")).to_contain_text("/v1/chat/completions")


def test_a_wrong_request_is_shown_the_servers_own_words(docs: Page, seen: list[Seen]) -> None:
    seen[0].expected.append("400")
    block = operation(docs, CHAT)
    block.locator("textarea").fill('{"messages": [{"role": "user", "content": "Hi"}], "temperature": -1}')
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table")).to_contain_text("'temperature' must be from 0 to 100.")


def test_where_there_are_keys_one_is_asked_for_and_used(browser: Browser, keyed: tuple[str, str]) -> None:
    address, token = keyed
    with opened(browser, address, path="/docs", wait=False) as (page, seen):
        # And a warning of the viewer about its own links, whose names have underscores.
        seen.expected += ["401", "Deprecated: escaping deep link whitespace"]
        page.get_by_label("This server asks for a key.").fill("wrong")
        page.get_by_role("button", name="Show the routes").click()
        expect(page.get_by_role("alert").first).to_have_text("The key is wrong or has been revoked.")
        page.get_by_label("This server asks for a key.").fill(token)
        page.keyboard.press("Enter")
        block = operation(shown(page), CHAT)
        block.get_by_role("button", name="Execute").click()
        expect(block.locator(".live-responses-table")).to_contain_text("chat.completion")
        # It lasts as long as the tab, and is nowhere else.
        page.reload()
        shown(page)
        assert token not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        page.get_by_role("button", name="Authorize").click()
        page.get_by_role("button", name="Remove authorization").click()
        assert page.evaluate("sessionStorage.length") == 0


def test_it_works_behind_a_proxy_with_a_prefix(browser: Browser, server: ServerProcess) -> None:
    with (
        prefix_proxy(server.address, "/llm") as address,
        opened(browser, address, path="/llm/docs", wait=False) as (page, _),
    ):
        block = operation(shown(page), "Whether the process answers at all")
        block.get_by_role("button", name="Execute").click()
        expect(block.locator(".live-responses-table")).to_contain_text('"status": "ok"')
        expect(block.locator(".request-url")).to_contain_text("/llm/health")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone_in_both_themes(open_page: Open, *, dark: bool) -> None:
    page = shown(open_page("/docs", wait=False, viewport=NARROW, dark=dark))
    operation(page, CHAT)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(28, 32, 34)") is dark


def test_the_keyboard_is_enough(docs: Page) -> None:
    docs.get_by_label("Search").focus()
    docs.keyboard.type("/health")
    expect(docs.locator(".opblock")).to_have_count(1)
    block = docs.locator(".opblock")
    for _ in range(12):
        if block.locator(".opblock-summary-control:focus").count():
            break
        docs.keyboard.press("Tab")
    docs.keyboard.press("Enter")
    expect(block.get_by_role("button", name="Execute")).to_be_visible()


def test_what_keeps_people_out_is_the_viewers_own_and_known(docs: Page) -> None:
    """It puts links into buttons, leaves out a level of headings, and has its title in no landmark."""
    found = violations(docs)
    assert {violation["id"] for violation in found} <= {"heading-order", "nested-interactive", "region"}
    assert "search" not in str([node["target"] for violation in found for node in violation["nodes"]])
