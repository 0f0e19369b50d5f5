"""What of a request of Anthropic's becomes what of a chat."""

from typing import Any

from caravan.api.messages.system import SystemPrompt, system_prompt
from caravan.api.messages.to_chat import Translation, translate
from caravan_schemas.anthropic import MessagesRequest
from caravan_schemas.messages import UserMessage

BILLING = "x-anthropic-billing-header: cc_version=2.1.42.abc; cc_entrypoint=cli; cch=1f3a;"
ENVIRONMENT = "<env>\nPlatform: linux\nToday's date: 2026-11-30\n</env>"


def translated(**fields: Any) -> Translation:  # noqa: ANN401
    """A request with these fields, as a chat."""
    body = {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return translate(MessagesRequest.model_validate(body), can_think=True)


def test_no_tokens_are_drawn_where_only_the_prompt_is_wanted() -> None:
    chat = translated(max_tokens=0).chat
    assert (chat.max_tokens, chat.n_predict) == (None, 0)


def test_names_of_tools_may_be_longer_than_openais() -> None:
    name = "mcp__" + "a" * 100
    tools = translated(tools=[{"name": name, "input_schema": {}}]).chat.tools
    assert tools is not None
    assert tools[0].model_dump()["function"]["name"] == name


def test_the_billing_line_is_left_out_wherever_its_block_ends() -> None:
    for system in (BILLING, [{"type": "text", "text": BILLING}]):
        assert translated(system=system).chat.messages[0].role == "user"
    for system in (
        f"{BILLING}\nBe brief.",
        [{"type": "text", "text": BILLING}, {"type": "text", "text": "Be brief."}],
    ):
        assert translated(system=system).chat.messages[0].content == "Be brief."


def test_a_line_in_the_midst_of_a_text_is_no_billing_line() -> None:
    assert system_prompt(f"Never write {BILLING}").text == f"Never write {BILLING}"


def test_a_date_is_told_before_what_the_user_says_first() -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    system, first, _, last = translated(system=ENVIRONMENT, messages=turns).chat.messages
    assert system.content == "<env>\nPlatform: linux\n</env>"
    assert isinstance(first, UserMessage)
    assert first.content == "Today's date: 2026-11-30\n\nuser"
    assert last.content == "user"


def test_a_time_of_day_is_told_after_all_that_was_said() -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    _, first, _, last = translated(system="A\nCurrent time: 2026-11-30 09:41", messages=turns).chat.messages
    assert first.content == "user"
    assert last.content == "user\n\nCurrent time: 2026-11-30 09:41"


def test_only_lines_that_tell_nothing_else_are_taken_out() -> None:
    for line in (
        "The date of the release is 2026-11-30.",
        "Date: ask the user.",
        "If today is a holiday in 2026, say so.",
        "Time flies.",
    ):
        assert system_prompt(line) == SystemPrompt(text=line)
    for line in (
        "The current date is Monday, November 30, 2026.",
        "- Today's date: 2026-11-30",
        "Today is 2026-11-30",
        " Current date and time: 2026-11-30",
    ):
        assert system_prompt(line) == SystemPrompt(days=[line.strip()]), line
