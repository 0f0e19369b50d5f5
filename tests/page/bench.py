"""`python -m tests.page.bench`: when the page is seen, and how steady it is while a long answer is written.

Prints Markdown. It is measured in the browser: paints by its own timeline, frames as the page gets them. The
server, the browser and this program share the machine.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caravan.web.page.files import page_files
from playwright.sync_api import Browser, BrowserContext, Page

from tests.faults.process import ServerProcess
from tests.page.browser import WIDE, running_browser
from tests.waiting import PATIENCE

NUM_TOKENS = 2000
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
  const frames = [], held = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) held.push(duration);
  }).observe({ type: "long-animation-frame" });
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
  globalThis.watched = { frames, held, scrolls: false };
  requestAnimationFrame(frame);
}"""


@dataclass(frozen=True)
class Paints:
    """Milliseconds from the beginning of a navigation."""

    first: float
    view: float


@dataclass(frozen=True)
class Frames:
    """Milliseconds from frame to frame; `held` are those of 50 and more that the page itself took."""

    gaps: list[float]
    held: list[float]

    def row(self, name: str) -> str:
        """As a line of the table."""
        p99 = sorted(self.gaps)[len(self.gaps) * 99 // 100]
        longest = max(self.held, default=0.0)
        return f"| {name} | {len(self.gaps)} | {p99:.0f} | {max(self.gaps):.0f} | {longest:.0f} |"


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
    """Have a long answer written at the end of the page, again while the page is scrolled, and scroll it then."""
    context = new_context(browser, address)
    kept = json.dumps(json.dumps(_SETTINGS))
    context.add_init_script(f"localStorage.setItem('caravan.settings', {kept})")
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Message", exact=True).fill("Tell me a long story.")
    page.evaluate(_WATCH)
    yield "| an answer of 2,000 tokens is | frames | 99 % within, ms | longest gap, ms | longest by the page, ms |"
    yield "| --- | --- | --- | --- | --- |"
    page.keyboard.press("Enter")
    yield written(page, scrolls=False).row("written, its end in sight")
    page.get_by_role("button", name="Answer again").click()
    yield written(page, scrolls=True).row("written, and scrolled meanwhile")
    page.evaluate("watched.frames.length = watched.held.length = 0")
    page.wait_for_function("() => watched.frames.length > 300")
    yield watched(page).row("scrolled")
    context.close()


def written(page: Page, *, scrolls: bool) -> Frames:
    """Watch the frames until an answer that was asked for is whole."""
    page.evaluate("(scrolls) => Object.assign(watched, { scrolls })", scrolls)
    page.locator("article[aria-busy=true]").wait_for()
    page.evaluate("watched.frames.length = watched.held.length = 0")
    page.get_by_text(f"{NUM_TOKENS} tokens").wait_for()
    return watched(page)


def watched(page: Page) -> Frames:
    """The frames since they were last forgotten."""
    seen: dict[str, Any] = page.evaluate("watched")
    return Frames(gaps=seen["frames"], held=seen["held"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=9)
    arguments = parser.parse_args()
    packed = [file for name, file in page_files().files.items() if not name.endswith(".txt")]
    print(f"{sum(len(file.packed) for file in packed) + len(page_files().index.packed):,} bytes packed\n")
    server = ServerProcess("--threads", "1", "--usage-db", "none")
    try:
        with running_browser() as browser:
            for measure in (paints(browser, server.address, arguments.loads), frames(browser, server.address)):
                print(*measure, sep="\n", end="\n\n", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
