"""How fast the page is: small, and steady while much is written."""

from caravan.web.page.files import page_files
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.talking import composer, finished, open_with

LONG = {"parameters": {"ignore_eos": True, "max_tokens": 1900, "temperature": 0.8, "seed": 3}}
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) window.tasks.push(Math.round(each.duration));
  }).observe({ type: "longtask" });
}"""


def test_its_files_are_small() -> None:
    files = page_files()
    sizes = {name: len(file.packed) for name, file in files.files.items() if not name.endswith(".txt")}
    assert sum(sizes.values()) + len(files.index.packed) < 150_000, sizes


def test_a_long_answer_does_not_hold_the_page_up(open_page: Open) -> None:
    page = open_with(open_page, LONG)
    page.evaluate(WATCH)
    composer(page).fill("Tell me a long story.")
    composer(page).press("Enter")
    finished(page, 2)
    expect(page.get_by_text("1900 tokens")).to_be_visible()
    print("tasks over 50 ms:", page.evaluate("window.tasks"))
