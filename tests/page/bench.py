"""`python -m tests.page.bench`: when the page is seen, and how steady it is while a long answer is written.

Prints Markdown. It is measured in the browser: paints by its own timeline, frames as the page gets them. The
server, the browser and this program share the machine.
"""

import argparse
import json
import statistics
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from caravan.web.page.files import page_files
from playwright.sync_api import Browser, BrowserContext, Page

from tests.faults.process import ServerProcess
from tests.page.browser import WIDE, running_browser
from tests.waiting import PATIENCE

NUM_TOKENS = 2000
# What each task of a thread took, and which thread makes the frames.
_TRACED = ["devtools.timeline", "disabled-by-default-devtools.timeline"]
_SETTINGS = {"parameters": {"ignore_eos": True, "max_tokens": NUM_TOKENS, "temperature": 0.8, "seed": 3}}

# Milliseconds since the navigation began; what the views need comes after the first paint.
_PAINTS = """async () => {
  const paint = await new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const [entry] = list.getEntriesByName("first-contentful-paint");
      if (entry) resolve(entry.startTime);
    }).observe({ type: "paint", buffered: true });
  });
  const [view] = performance.getEntriesByName("caravan-view");
  return [paint, view.startTime];
}"""
_MARK_VIEW = """new MutationObserver((_, watch) => {
  if (!document.querySelector("main > *")) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => performance.mark("caravan-view")));
}).observe(document, { childList: true, subtree: true });"""
# Scrolls up and down as fast as frames come, as long as the answer is written.
_WATCH = """() => {
  const frames = [];
  let last = performance.now();
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    if (watched.scrolls) {
      const box = document.querySelector(".messages");
      box?.scrollBy(0, frames.length % 60 < 30 ? -40 : 40);
    }
    requestAnimationFrame(frame);
  };
  globalThis.watched = { frames, scrolls: false };
  requestAnimationFrame(frame);
}"""


@dataclass(frozen=True)
class Paints:
    """Milliseconds from the beginning of a navigation."""

    first: float
    view: float


@dataclass
class Frames:
    """Milliseconds from frame to frame, and those of a processor that the page's own tasks took.

    The gaps have in them what else the machine did.
    """

    gaps: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """As a line of the table."""
        p99 = sorted(self.gaps)[len(self.gaps) * 99 // 100]
        return f"| {name} | {len(self.gaps)} | {p99:.0f} | {max(self.gaps):.0f} | {max(self.tasks):.0f} |"


def load(page: Page) -> Paints:
    """Go to the page, and read when it was painted."""
    page.goto("/")
    page.locator("main > *").first.wait_for()
    page.wait_for_function("() => performance.getEntriesByName('caravan-view').length")
    return Paints(*page.evaluate(_PAINTS))


def new_context(browser: Browser, address: str) -> BrowserContext:
    """Nothing in any cache."""
    context = browser.new_context(viewport=WIDE, base_url=address)
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(_MARK_VIEW)
    return context


def paints(browser: Browser, address: str, num_loads: int) -> Iterator[str]:
    """Measure first loads and later ones."""
    cold, warm = [], []
    for _ in range(num_loads):
        context = new_context(browser, address)
        page = context.new_page()
        cold.append(load(page))
        page.goto("about:blank")
        warm.append(load(page))
        context.close()
    yield "| load | first paint, ms | the Chat is there, ms |"
    yield "| --- | --- | --- |"
    for name, loads in (("cold", cold), ("warm", warm)):
        cells = (spread([each.first for each in loads]), spread([each.view for each in loads]))
        yield f"| {name} | {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """The median and the extremes."""
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def frames(browser: Browser, address: str) -> Iterator[str]:
    """Have a long answer written with its end in sight, again while it is scrolled, and scroll it then."""
    context = new_context(browser, address)
    kept = json.dumps(json.dumps(_SETTINGS))
    context.add_init_script(f"localStorage.setItem('caravan.settings', {kept})")
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Message", exact=True).fill("Tell me a long story.")
    page.evaluate(_WATCH)
    yield "| an answer of 2,000 tokens is | frames | 99 % within, ms | longest, ms | longest task, ms |"
    yield "| --- | --- | --- | --- | --- |"
    with watched(page) as seen:
        page.keyboard.press("Enter")
        finish(page, scrolls=False)
    yield seen.row("written, its end in sight")
    with watched(page) as seen:
        page.get_by_role("button", name="Answer again").click()
        finish(page, scrolls=True)
    yield seen.row("written, and scrolled meanwhile")
    with watched(page) as seen:
        page.wait_for_function("() => watched.frames.length > 300")
    yield seen.row("scrolled")
    context.close()


def finish(page: Page, *, scrolls: bool) -> None:
    """Wait until an answer that was asked for is whole."""
    page.evaluate("(scrolls) => Object.assign(watched, { scrolls })", scrolls)
    page.get_by_text(f"{NUM_TOKENS} tokens").wait_for()


@contextmanager
def watched(page: Page) -> Generator[Frames, None, None]:
    """Look at the frames of a `with` block, which are there when it has ended."""
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=_TRACED)
    page.evaluate("watched.frames.length = 0")
    seen = Frames()
    yield seen
    seen.gaps = page.evaluate("watched.frames")
    seen.tasks = tasks(json.loads(browser.stop_tracing())["traceEvents"])


def tasks(events: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of a processor that each task of the page's thread took."""
    thread = next((e["pid"], e["tid"]) for e in events if e["name"] == "FireAnimationFrame")
    return [
        e["tdur"] / 1000
        for e in events
        if e["name"] == "RunTask" and "tdur" in e and (e["pid"], e["tid"]) == thread
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=9)
    arguments = parser.parse_args()
    packed = [file for name, file in page_files().files.items() if not name.endswith(".txt")]
    print(f"{sum(len(file.packed) for file in packed) + len(page_files().index.packed):,} bytes packed\n")
    server = ServerProcess("--threads", "1", "--usage-db", "none")
    try:
        with running_browser() as browser:
            print(*paints(browser, server.address, arguments.loads), sep="\n", end="\n\n", flush=True)
            print(*frames(browser, server.address), sep="\n", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
