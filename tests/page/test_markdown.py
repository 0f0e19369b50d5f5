"""What is made of an answer's Markdown, and what is said when the page's own modules do not come."""

from playwright.sync_api import Page, expect

from tests.page.browser import Seen
from tests.page.conftest import Open

# The page's own component, given one text after the other as an answer that is being written.
WRITE = """async (texts) => {
  const base = new URL(".", document.querySelector("script[src$='/app.js']").src);
  const { Markdown } = await import(new URL("chat/markdown.js", base));
  const { html, render } = await import(new URL("lib/preact.js", base));
  const place = document.createElement("div");
  for (const text of texts) render(html`<${Markdown} text=${text} />`, place);
  return [...place.querySelectorAll("a")].map((link) => [link.textContent, link.getAttribute("href")]);
}"""

AT = "https://elsewhere.example/"


def links(page: Page, *texts: str) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(WRITE, texts)
    return found


def test_a_tag_takes_no_link_from_what_comes_after_it(open_page: Open) -> None:
    page = open_page()
    for tag in ("<a href='x'>", "<code>", "<pre>"):
        assert links(page, f"Open {tag} tag.\n\nSee {AT} now.") == [[AT, AT]]
        assert links(page, f"Open {tag} tag, see {AT} now.") == [[AT, AT]]
    # A link holds none, though.
    assert links(page, f"[see {AT}now]({AT})") == [[f"see {AT}now", AT]]


def test_a_reference_leads_somewhere_as_soon_as_that_is_known(open_page: Open) -> None:
    page = open_page()
    between = "\n\n".join(f"Paragraph {number}." for number in range(6))
    reference, definition = "See [docs][1].", f"[1]: {AT}"
    for text in (f"{reference}\n\n{between}\n\n{definition}", f"{definition}\n\n{between}\n\n{reference}"):
        written = [text[:end] for end in range(1, len(text) + 1)]
        assert links(page, *written) == [["docs", AT]]
        assert links(page, *written, f"{text}\n\nAgain [docs][1].") == [["docs", AT]] * 2


def test_a_module_that_does_not_come_is_told(open_page: Open, seen: list[Seen]) -> None:
    page = open_page()
    seen[0].expected.append("net::ERR_FAILED")
    page.route("**/lib/router.js", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("did not load")
