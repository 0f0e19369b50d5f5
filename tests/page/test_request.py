"""The Request view: its code is run, and sends what the Chat sends."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Open
from tests.page.talking import ask, composer, last, open_with
from tests.waiting import PATIENCE

QUESTION = "What is the capital of France?"
SETTINGS = {
    "parameters": {
        "temperature": 0,
        "top_k": 5,
        "stop": ["it's", 'a "quoted" é\U0001f42b\\n'],
        "ignore_eos": False,
    },
    "preset": "balanced",
    "thinking": "off",
}
RUNNERS = {
    "curl": ["bash", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "--eval"],
}


def code(page: Page, language: str) -> str:
    page.get_by_role("link", name="Request").click()
    page.get_by_role("button", name=language, exact=True).click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("pre.code code").text_content()
    return copied


@pytest.mark.parametrize("language", RUNNERS)
def test_the_code_runs_and_answers(open_page: Open, language: str) -> None:
    program = RUNNERS[language]
    if shutil.which(program[0]) is None:
        pytest.skip(f"there is no {program[0]} on this machine")
    page = open_with(open_page, SETTINGS)
    composer(page).fill(QUESTION)
    text = code(page, language)
    done = subprocess.run(
        [*program, text], capture_output=True, text=True, timeout=PATIENCE, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout.replace('"}', "").replace("\n", "") or "Par" in done.stdout


def test_it_is_what_is_sent(open_page: Open) -> None:
    page = open_with(open_page, SETTINGS)
    sent: list[Any] = []
    page.on(
        "request", lambda request: sent.append(request.post_data_json) if request.method == "POST" else None
    )
    composer(page).fill(QUESTION)
    shown = json.loads(code(page, "JSON"))
    page.get_by_role("link", name="Chat").click()
    expect(composer(page)).to_have_value(QUESTION)
    composer(page).fill("")
    ask(page, QUESTION)
    assert sent == [shown]
    assert shown["top_k"] == 5
    answer = last(page).locator(".prose").inner_text()
    composer(page).fill("And of Spain?")
    following = json.loads(code(page, "JSON"))["messages"]
    assert [message["content"] for message in following] == [QUESTION, answer, "And of Spain?"]
