"""How fast the page is: small, and steady while much is written."""

from caravan.web.page.files import page_files
from playwright.sync_api import CDPSession, expect

from tests.page.conftest import Open
from tests.page.talking import composer, open_with

LONG = {"parameters": {"ignore_eos": True, "max_tokens": 1900, "temperature": 0.8, "seed": 3}}
# Milliseconds of a processor, whatever else it does meanwhile.
MOST_PER_DRAWING = 25


def test_its_files_are_small() -> None:
    files = page_files()
    sizes = {name: len(file.packed) for name, file in files.files.items() if not name.endswith(".txt")}
    assert sum(sizes.values()) + len(files.index.packed) < 150_000, sizes


def busy(session: CDPSession) -> tuple[float, float]:
    """Seconds of a processor that the page's own thread has taken, and how often it was laid out."""
    told = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return told["TaskDuration"], told["LayoutCount"]


def test_a_long_answer_does_not_hold_the_page_up(open_page: Open) -> None:
    page = open_with(open_page, LONG)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    seconds, drawings = busy(session)
    composer(page).fill("Tell me a long story.")
    composer(page).press("Enter")
    expect(page.get_by_text("1900 tokens")).to_be_visible()
    now, more = busy(session)
    assert more - drawings > 20
    assert (now - seconds) * 1000 / (more - drawings) < MOST_PER_DRAWING
