"""The Server view: its numbers move, models are unloaded and loaded, and who may not is told so."""

import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import httpx
import pytest
from caravan.auth import keys_file
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.faults.process import ServerProcess
from tests.page.axe import check_accessible, check_in_all_looks
from tests.page.browser import Seen, opened
from tests.page.conftest import Open
from tests.waiting import PATIENCE, wait_until

MODEL = "caravan-resident"
expect.set_options(timeout=1000 * PATIENCE)

METRICS = r"""
# HELP a_seconds Time.
a_seconds_bucket{le="0.01",model="one"} 2.0
a_seconds_bucket{le="0.1",model="one"} 8.0
a_seconds_bucket{le="+Inf",model="one"} 10.0
a_seconds_count{model="one"} 10.0
a_seconds_sum{model="one"} 1.5
a_seconds_bucket{le="0.01",model="b\"}, c\\d"} 1.0
a_seconds_bucket{le="0.1",model="b\"}, c\\d"} 1.0
a_seconds_bucket{le="+Inf",model="b\"}, c\\d"} 1.0
plain 7
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server of its own: its model is unloaded here."""
    process = ServerProcess("--threads", "1", "--usage-db", "none")
    yield process
    assert process.stop() == 0, process.output


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """A server with keys: its address, a user's key and an administrator's."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    alice, root = keys_file.add(path, name="alice"), keys_file.add(path, name="root", role="admin")
    process = ServerProcess("--threads", "1", "--keys-file", str(path), "--usage-db", "none")
    yield process.address, alice, root
    assert process.stop() == 0, process.output


@pytest.fixture
def view(open_page: Open) -> Page:
    page = open_page("/#/server")
    expect(page.get_by_role("table")).to_be_visible()
    return page


def number(page: Page, name: str) -> Locator:
    """The value of one of the numbers at the top."""
    return page.locator(".numbers > div", has=page.get_by_text(name, exact=True)).locator("dd")


@contextmanager
def writing(address: str) -> Generator[None, None, None]:
    """A model that writes until the end of the block."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "ignore_eos": True}
    ended, begun = threading.Event(), threading.Event()

    def write() -> None:
        while not ended.is_set():
            with httpx.stream(
                "POST", f"{address}/v1/chat/completions", json=body, timeout=PATIENCE
            ) as answer:
                for line in answer.iter_lines():
                    begun.set()
                    if ended.is_set() or "[DONE]" in line:
                        break

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)


def test_numbers_move_while_the_model_writes(view: Page, server: ServerProcess) -> None:
    expect(number(view, "Running")).to_have_text("0")
    view.get_by_role("button", name="Since this view was first opened").click()
    waits = view.get_by_role("region", name="How long people wait")
    expect(waits.get_by_text("nothing yet")).to_have_count(4)
    with writing(server.address):
        expect(number(view, "Running")).to_have_text("1")
        expect(number(view, "Tokens/s written")).not_to_have_text("0")
        expect(number(view, "Cells in use")).not_to_have_text("0 %")
        expect(view.get_by_role("img", name="Requests: running 1, waiting 0")).to_be_visible()
        expect(waits.get_by_role("img", name="Between two tokens")).to_be_visible()
    expect(number(view, "Running")).to_have_text("0")
    expect(number(view, "Tokens/s written")).to_have_text("0")


def test_a_model_is_unloaded_and_loaded(view: Page, server: ServerProcess) -> None:
    row = view.get_by_role("row", name=MODEL)
    row.get_by_role("button", name="Unload").click()
    expect(row).to_contain_text("available")
    assert httpx.get(f"{server.address}/status").json()["models"][0]["status"] == "available"
    expect(view.get_by_role("log")).to_contain_text(f"{MODEL} is unloaded.")
    row.get_by_role("button", name="Load", exact=False).click()
    expect(row).to_contain_text("loaded")
    expect(row.get_by_role("button", name="Unload")).to_be_enabled()
    expect(view.get_by_role("log")).to_contain_text(f"{MODEL} is loaded.")


def test_what_cannot_be_loaded_says_why(view: Page, seen: list[Seen]) -> None:
    seen[0].expected.append("403")
    told = {"error": {"message": "There is no memory for it.", "param": None, "code": "model_unavailable"}}
    view.route("**/admin/**", lambda route: route.fulfill(status=403, body=json.dumps(told)))
    view.get_by_role("row", name=MODEL).get_by_role("button", name="Unload").click()
    expect(view.get_by_role("alert")).to_have_text("There is no memory for it.")


@pytest.mark.parametrize("is_admin", [False, True])
def test_who_is_no_administrator_is_told_so(
    browser: Browser, keyed: tuple[str, str, str], *, is_admin: bool
) -> None:
    address, alice, root = keyed
    with opened(browser, address, path="/#/server") as (page, seen):
        seen.expected += ["401", "403"]
        page.get_by_label("Key", exact=True).fill(root if is_admin else alice)
        page.get_by_role("button", name="Use this key").click()
        expect(number(page, "Running")).to_have_text("0")
        if is_admin:
            expect(page.get_by_role("button", name=f"Unload {MODEL}")).to_be_enabled()
        else:
            expect(page.get_by_text("The key 'alice' is not an administrator's.")).to_be_visible()
            assert page.get_by_role("table").count() == 0
        check_accessible(page)


@pytest.mark.parametrize("is_late", [False, True])
def test_who_gives_no_key_is_not_asked_again_and_again(
    browser: Browser, keyed: tuple[str, str, str], is_late: bool
) -> None:
    with opened(browser, keyed[0], path="/#/chat", wait=False) as (page, seen):
        held: list[Route] = []
        # The view itself asks before the reader says no, or only afterwards.

        def hold(route: Route) -> None:
            held.append(route) if is_late else route.continue_()

        page.route("**/server/view.js", hold)
        page.goto(f"{keyed[0]}/#/server")
        seen.expected.append("401")
        asked: list[str] = []
        page.clock.install()
        page.get_by_role("button", name="Not now").click()
        if is_late:
            wait_until(lambda: page.evaluate("true") and bool(held))
            held.pop().continue_()
        expect(page.get_by_role("alert")).to_contain_text("This server asks for a key")
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(10_000)
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert [url for url in asked if "metrics" in url] == []


def test_everybody_can_use_it(open_page: Open) -> None:
    page = open_page("/#/server")
    expect(page.get_by_role("table")).to_be_visible()
    check_in_all_looks(page)


def test_metrics_and_histograms_are_read(view: Page) -> None:
    """By the page's own modules, as they are served."""
    found = view.evaluate(
        """async (text) => {
            const base = [...document.scripts].find(({ src }) => src.endsWith("/app.js")).src;
            const { parseMetrics, total } = await import(new URL("server/metrics.js", base));
            const read = await import(new URL("server/histogram.js", base));
            const { bound, histogramOf, occupied, since } = read;
            const series = parseMetrics(text);
            const all = histogramOf(series, "a_seconds");
            return {
                labels: series.get("a_seconds_bucket").map(({ labels }) => labels.model),
                plain: total(series, "plain"),
                counts: all.buckets.map(({ count }) => count),
                half: bound(all, 0.5),
                most: String(bound(all, 0.95)),
                none: bound(histogramOf(series, "nothing"), 0.5),
                occupied: occupied(all).length,
                later: since(all, all).buckets.map(({ count }) => count),
            };
        }""",
        METRICS,
    )
    assert found == {
        "labels": ["one"] * 3 + ['b"}, c\\d'] * 3,
        "plain": 7,
        "counts": [3, 6, 2],
        "half": 0.1,
        "most": "Infinity",
        "none": None,
        "occupied": 3,
        "later": [0, 0, 0],
    }
