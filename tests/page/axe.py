"""axe-core looks at a page for whatever keeps people out."""

from importlib import resources

from playwright.sync_api import Page

_SCRIPT = resources.files("axe_playwright_python") / "axe.min.js"


def check_accessible(page: Page) -> None:
    """Fail over any violation, of best practices too."""
    page.evaluate(_SCRIPT.read_text(encoding="utf-8") + "\n;0")
    found = page.evaluate("async () => (await axe.run(document)).violations")
    told = [
        f"{violation['id']}: {violation['help']}: {node['target']} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
    ]
    assert not told, "\n".join(told)
