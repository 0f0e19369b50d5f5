"""What tests do in the Tokens, What if and Compare views, in their own words."""

from typing import Any

from playwright.sync_api import Locator, Page, Request, Response, expect

from tests.waiting import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

EXPLAIN = "**/v1/decoding/explain"
Json = dict[str, Any]


def tokens(page: Page) -> Locator:
    """The tokens of the text."""
    return page.get_by_role("group", name="Tokens, by arrow keys").get_by_role("button")


def go_on(page: Page, num_tokens: int = 8) -> Json:
    """Have the model go on with the prompt of the Tokens view, and return what the server told."""
    page.get_by_label("tokens", exact=True).fill(str(num_tokens))
    with page.expect_response(EXPLAIN) as told:
        page.get_by_role("button", name="Go on", exact=True).click()
    expect(tokens(page)).to_have_count(len(variant(told.value)["steps"]))
    return variant(told.value)


def variant(response: Response) -> Json:
    """The first set of steps of an answer."""
    found: Json = response.json()["variants"][0]
    return found


def body(request: Request) -> Json:
    """What a request was made with."""
    found = request.post_data_json
    assert isinstance(found, dict)
    return found


def percent(text: str) -> float:
    """Read a share as the page writes it."""
    return float(text.removesuffix(" %").removeprefix("< ")) / 100
