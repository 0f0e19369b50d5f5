"""axe-core looks at a page for whatever keeps people out."""

from importlib import resources
from typing import Any

from playwright.sync_api import Page

_SCRIPT = resources.files("axe_playwright_python") / "axe.min.js"


def violations(page: Page) -> list[dict[str, Any]]:
    """List what axe has against a page, best practices included."""
    page.evaluate(_SCRIPT.read_text(encoding="utf-8") + "\n;0")
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run(document)).violations")
    return found


def check_accessible(page: Page) -> None:
    """Fail over any violation, of best practices too."""
    told = [
        f"{violation['id']}: {violation['help']}: {node['target']} {node['failureSummary']}"
        for violation in violations(page)
        for node in violation["nodes"]
    ]
    assert not told, "\n".join(told)
