"""axe-core looks at a page for whatever keeps people out."""

from importlib import resources
from typing import Any, Literal

from playwright.sync_api import Page

from tests.page.browser import NARROW, WIDE

_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_SCRIPT = resources.files("axe_playwright_python") / "axe.min.js"


def violations(page: Page) -> list[dict[str, Any]]:
    """List what axe has against a page, best practices included."""
    page.evaluate(_SCRIPT.read_text(encoding="utf-8") + "\n;0")
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run(document)).violations")
    return found


def check_in_all_looks(page: Page) -> None:
    """Fail over any violation, or what is wider than the window: wide and narrow, light and dark."""
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme)
            check_accessible(page)
            assert fits(page), viewport


def fits(page: Page) -> bool:
    """Whether nothing of the page is wider than the window."""
    frames = "[document.documentElement, document.querySelector('main')]"
    return bool(page.evaluate(f"{frames}.every((one) => one.scrollWidth <= one.clientWidth)"))


def check_accessible(page: Page) -> None:
    """Fail over any violation, of best practices too."""
    told = [
        f"{violation['id']}: {violation['help']}: {node['target']} {node['failureSummary']}"
        for violation in violations(page)
        for node in violation["nodes"]
    ]
    assert not told, "\n".join(told)
