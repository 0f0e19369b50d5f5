"""What is learnt of templates by trying them, and what they are given then."""

import dataclasses

import pytest
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.prompt_template import CHATML
from caravan.chat.rendering.traits import (
    Beside,
    Calls,
    Detail,
    Instructions,
    Joining,
    NoTools,
    NullContent,
    Traits,
)
from caravan.chat.rendering.turns import Call, Conversation, Turn
from caravan.errors import InvalidRequestError

from tests.chat.rendering.sources import FIRST_SYSTEM, PEDANT, STRICT, WHOLE

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "To f.", "parameters": {"type": "object", "properties": {}}},
}


def learnt(source: str) -> Traits:
    return LocalTemplate(source).traits


def said(*messages: tuple[str, str]) -> list[Turn]:
    return [Turn(place, role, text) for place, (role, text) in enumerate(messages)]


def written(source: str, *messages: tuple[str, str], tools: bool = False) -> str:
    return LocalTemplate(source).write(Conversation(said(*messages), [TOOL] if tools else None))


def loop(*names: str, content: str | None = None) -> list[Turn]:
    calls = tuple(Call(f"call_{name}", name, {"x": name}) for name in names)
    results = (
        Turn(2 + n, "tool", f"={name}", name=name, call_id=f"call_{name}") for n, name in enumerate(names)
    )
    return [Turn(0, "user", "Hi"), Turn(1, "assistant", content, calls), *results]


def shown(source: str, turns: list[Turn], *, tools: bool = True) -> str:
    return LocalTemplate(source).write(Conversation(turns, [TOOL] if tools else None, opens_answer=False))


def test_a_template_that_shows_all_changes_nothing() -> None:
    assert learnt(WHOLE) == Traits(developer=False)
    assert shown(WHOLE, loop("f"), tools=False) == '<user>Hi<assistant>[f {"x": "f"}]<tool>=f'


def test_a_word_that_is_written_like_any_other_is_not_known() -> None:
    assert not learnt(CHATML).developer
    assert "<|im_start|>system\nBe kind." in written(CHATML, ("developer", "Be kind."), ("user", "Hi"))
    knowing = CHATML.replace("message.role +", "(message.role if message.role != 'developer' else 'dev') +")
    assert learnt(knowing).developer
    assert "<|im_start|>dev\nBe kind." in written(knowing, ("developer", "Be kind."), ("user", "Hi"))


def test_systems_that_would_vanish_are_joined_or_given_as_the_users() -> None:
    traits = learnt(FIRST_SYSTEM)
    assert (traits.joins_leading, traits.later_system) == (Joining.ALL, Instructions.USER)
    assert written(FIRST_SYSTEM, ("system", "a"), ("developer", "b"), ("user", "c")) == "S:a\n\nbu:c;"
    messages = (("system", "a"), ("user", "b"), ("assistant", "c"), ("system", "d"), ("user", "e"))
    assert written(FIRST_SYSTEM, *messages) == "S:au:b;a:c;u:d;u:e;"


def test_strict_alternation() -> None:
    assert learnt(STRICT).system is Instructions.USER
    assert written(STRICT, ("system", "a"), ("user", "b"), ("user", "c")) == "<user>a\n\nb\n\nc"
    assert written(STRICT, ("assistant", "a"), ("user", "b")) == "<user><assistant>a<user>b"
    assert written(STRICT, ("system", "a")) == "<user>a"
    messages = (("user", "a"), ("assistant", "b"), ("assistant", "c"), ("system", "d"), ("user", "e"))
    assert written(STRICT, *messages) == "<user>a<assistant>b\n\nc<user>d\n\ne"


def test_calls_that_are_not_shown_are_written_into_the_content() -> None:
    assert learnt(FIRST_SYSTEM).calls is Calls.TEXT
    text = '<tool_call>\n{"name": "f", "arguments": {"x": "f"}}\n</tool_call>'
    assert shown(FIRST_SYSTEM, loop("f", content="Well"), tools=False) == f"u:Hi;a:Well\n\n{text};t:=f;"
    assert shown(STRICT, loop("f"), tools=False) == f"<user>Hi<assistant>{text}<user>Result of f:\n=f"


def test_calls_in_the_form_that_is_wanted() -> None:
    traits = learnt(PEDANT)
    assert (traits.call_id_length, traits.arguments_as_text) == (9, True)
    assert traits.parallel_calls is Calls.ONE_BY_ONE
    assert shown(PEDANT, loop("f", "g"), tools=False) == (
        'user:Hiassistant:[{"x": "f"}]tool:=fassistant:[{"x": "g"}]tool:=g'
    )


@pytest.mark.parametrize("length", [8, 12, 40])
def test_ids_of_any_length(length: int) -> None:
    assert learnt(PEDANT.replace("!= 9", f"!= {length}")).call_id_length == length


@pytest.mark.parametrize(
    ("test", "null"),
    [
        ("{% if m.content is none %}{% endif %}", NullContent.NULL),
        ("{% if m.reasoning_content is not none %}{% endif %}{{ m.content }}", NullContent.EMPTY),
        ("{% if 'x' in m.content %}{% endif %}", NullContent.EMPTY),
        ("{{ m.content | length if 'content' in m else 0 }}", NullContent.EMPTY),
        (
            "{% if m.content is defined and not m.content %}{{ raise_exception('Empty') }}{% endif %}",
            NullContent.ABSENT,
        ),
    ],
)
def test_what_stands_for_no_content(test: str, null: NullContent) -> None:
    """By what comes out: words in the source prove nothing."""
    assert learnt(WHOLE.replace("{{- '<' + m.role", test + "{{- '<' + m.role")).null_content is null


@pytest.mark.parametrize(
    ("source", "none"),
    [
        (WHOLE, NoTools.NONE),
        (
            WHOLE.replace("{%- if tools %}", "").replace("{% endfor %}{% endif %}", "{% endfor %}", 1),
            NoTools.EMPTY,
        ),
        ("{% if tools is defined %}{{ tools[0].function.name }}{% endif %}" + CHATML, NoTools.UNDEFINED),
    ],
)
def test_what_stands_for_no_tools(source: str, none: NoTools) -> None:
    assert learnt(source).no_tools is none


def test_tools_in_another_variable() -> None:
    traits = learnt("{{ 'Functions: ' + functions }}{{ 'Today: ' + datetime }}" + CHATML)
    assert (traits.tools_variable, traits.tools_as_text, traits.needs_date) == ("functions", True, True)


def test_tools_in_a_variable_that_clients_may_name() -> None:
    """Like SmolLM3's own template: tools of requests go there, and so do a client's."""
    source = "{% if xml_tools %}{% for tool in xml_tools %}{{ tool }}{% endfor %}{% endif %}" + CHATML
    template = LocalTemplate(source)
    assert (template.traits.tools_variable, "xml_tools" in template.variables) == ("xml_tools", True)
    turns = said(("user", "Hi"))
    assert "To f." in template.write(Conversation(turns, [TOOL]))
    assert template.write(Conversation(turns, None, {"xml_tools": ["mine"]})).startswith("mine<|im_start|>")
    assert "mine" not in template.write(Conversation(turns, [TOOL], {"xml_tools": ["mine"]}))


def test_tools_are_given_what_they_leave_out() -> None:
    source = (
        "{% for tool in tools or [] %}{{ tool.function.name + tool.function.description }}{% endfor %}"
        + CHATML
    )
    assert learnt(source).detail is Detail.DESCRIPTIONS
    bare = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert LocalTemplate(source).write(Conversation(said(("user", "Hi")), [bare])).startswith("f<|im_start|>")


def test_tools_of_a_template_without_a_place_for_them() -> None:
    text = written(CHATML, ("system", "Be kind."), ("user", "Hi"), tools=True)
    assert text.index("Be kind.") < text.index('"description": "To f."') < text.index("<tool_call>\n{")
    assert text.index("<tool_call>\n{") < text.index("Hi")


def test_content_beside_calls_is_given_before_them() -> None:
    hiding = WHOLE.replace("{% if m.content is not none %}", "{% if m.content and not m.tool_calls %}")
    assert learnt(hiding).beside_calls is Beside.MESSAGE
    assert shown(hiding, loop("f", content="Well"), tools=False).startswith(
        "<user>Hi<assistant>Well<assistant>[f"
    )
    planning = hiding.replace("{%- for call in", "{{ m.tool_plan }}{%- for call in")
    assert learnt(planning).beside_calls is Beside.PLAN


def test_a_thought_goes_where_it_is_shown() -> None:
    source = WHOLE.replace(
        "{{- '<' + m.role", "{% if m.thinking %}({{ m.thinking }}){% endif %}{{- '<' + m.role"
    )
    turns = [*said(("user", "Hi")), Turn(1, "assistant", "So", thought="hm"), Turn(2, "user", "Bye")]
    assert learnt(source).thought == "thinking"
    assert shown(source, turns, tools=False) == "<user>Hi(hm)<assistant>So<user>Bye"


def test_a_system_message_that_follows_the_last_user_stays_there() -> None:
    source = """{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}\
{% set messages = messages[1:] %}{% endif %}{% for m in messages %}{{ '<' + m.role + '>' }}
{%- if loop.last and m.role == 'user' and system is defined %}{{ system + '\\n\\n' }}{% endif %}
{{- m.content }}{% endfor %}"""
    assert learnt(source).system is Instructions.LAST_USER
    messages = (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    assert written(source, *messages) == "<user>a<assistant>b<user>s\n\nc"
    assert written(source, *messages, ("assistant", "d")) == "<user>a<assistant>b<user>s\n\nc<assistant>d"


def test_a_message_that_cannot_be_shown_is_refused_by_name() -> None:
    """Only the last one is shown, which no adaptation mends."""
    with pytest.raises(InvalidRequestError, match="would not reach the model") as caught:
        written("{{ messages[-1].content }}", ("user", "a"), ("assistant", "b"), ("user", "c"))
    assert caught.value.param == "messages[0]"


def test_traits_cross_the_border() -> None:
    for source in (WHOLE, FIRST_SYSTEM, STRICT, PEDANT, CHATML):
        traits = learnt(source)
        assert Traits.from_json(traits.to_json()) == traits
        assert set(traits.to_json()) == {field.name for field in dataclasses.fields(Traits)}
