"""Chat templates: what real ones use, what they refuse, what they must not reach."""

import datetime

import pytest
from caravan.chat.rendering.prompt_template import CHATML, TemplateSyntaxError
from caravan.chat.rendering.template import ChatTemplate
from caravan.errors import InvalidRequestError

USER = {"role": "user", "content": "Hi"}

# The habits of published templates: strict alternation, BOS, namespaces, macros, loop controls, slices.
LLAMA_LIKE = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- set state = namespace(count=0) %}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set state.count = state.count + 1 %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + (system_message + '\\n\\n' if loop.first and system_message is defined else '') }}
        {{- message['content'] | trim + ' [/INST]' }}
    {%- else %}
        {%- generation %}{{- ' ' + message['content'] + eos_token }}{%- endgeneration %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt and state.count > 99 %}{{ 'never' }}{% endif %}"""


def test_chatml() -> None:
    messages = [{"role": "system", "content": "Be kind."}, USER]
    expected = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ChatTemplate(CHATML).render(messages) == expected


def test_a_template_of_published_habits() -> None:
    template = ChatTemplate(LLAMA_LIKE, bos_token="<s>", eos_token="</s>")
    messages = [
        {"role": "system", "content": "Be kind. "},
        USER,
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert template.render(messages) == "<s>[INST] Be kind.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]"


def test_a_templates_own_refusal_is_a_400_with_its_message() -> None:
    with pytest.raises(InvalidRequestError, match=r"^Conversation roles must alternate") as caught:
        ChatTemplate(LLAMA_LIKE).render([USER, USER])
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[5].content + 'x' }}",
        "{{ messages[0].content + 1 }}",
        "{{ nowhere.deep.deeper }}",
        "{{ 1 / 0 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{% include 'other' %}",
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages[0].update(content='x') }}",
        "{% set m = messages[0] %}{{ m.clear() }}",
        "{% for m in messages %}{{ m.setdefault('x', 1) }}{% endfor %}",
        "{{ ''.__class__.__mro__ }}{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__ }}{{ raise_exception.__globals__['sys'].exit() }}",
        "{{ '{0.__class__.__init__.__globals__[x]}'.format(messages) }}",
    ],
)
def test_a_template_that_fails_is_a_400(source: str) -> None:
    template = ChatTemplate(source)
    with pytest.raises(InvalidRequestError) as caught:
        template.render([USER])
    assert caught.value.param == "messages"
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ x", "{% unknown %}", "{% for x in y %}", "{{ x | nofilter }}"]
)
def test_a_template_that_does_not_compile_is_known_at_once(source: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="does not compile"):
        ChatTemplate(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': '<é&', 'a': [1, true, none]} | tojson }}", '{"b": "<é&", "a": [1, true, null]}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=True) }}", '{"a": 2, "b": 1}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"),
        ("{{ 'é' | tojson(ensure_ascii=True) }}", '"\\u00e9"'),
        ("{{ strftime_now('%Y') }}", str(datetime.datetime.now().year)),
        ("{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "13"),
        ("{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "1"),
        ("{% generation %}a{{ 1 }}{% endgeneration %}b", "a1b"),
        ("{{ tools is none and documents is none }}", "True"),
        ("{{ messages | map(attribute='role') | tojson }}", '["user"]'),
        ("{% set l = [] %}{% set _ = l.append(1) %}{% set _ = l.extend([2]) %}{{ l }}", "[1, 2]"),
        ("{% set d = {} %}{% set _ = d.update(a=1) %}{{ d }}", "{'a': 1}"),
        ("{% set l = messages[:] %}{% set _ = l.pop() %}{{ l | length }}{{ messages | length }}", "01"),
        ("{{ 'tools' if tools else 'none' }}{{ undefined_thing }}", "none"),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        ("{{ messages[-1].content.split(' ')[0].strip() }}", "Hi"),
        ("{{ '<&>' }}", "<&>"),
    ],
)
def test_the_environment_that_templates_expect(source: str, expected: str) -> None:
    assert ChatTemplate(source).render([USER]) == expected


def test_text_of_messages_is_never_a_template() -> None:
    text = "{{ 7 * 7 }}{% raise %}{# x #}"
    assert text in ChatTemplate(CHATML).render([{"role": "user", "content": text}])
