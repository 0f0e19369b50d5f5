"""All formats of tool calls, an entry each, in the order in which chat templates are held against them.

An entry is all that most new models need: `shown_by` are texts of their templates, and what the other fields
mean is said by the class. `tests/chat/data/` wants transcripts of what such a model writes.
"""

import re

from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.command_r import CommandRFormat
from caravan.chat.tool_formats.elements import Elements, TypedElements
from caravan.chat.tool_formats.functionary import Functionary31Format, Functionary32Format
from caravan.chat.tool_formats.gemma_arguments import GemmaArguments
from caravan.chat.tool_formats.harmony import HarmonyFormat
from caravan.chat.tool_formats.json_calls import JsonFormat
from caravan.chat.tool_formats.llama import LlamaFormat
from caravan.chat.tool_formats.marked_calls import DeepSeekFormat, JsonArguments, MarkedFormat
from caravan.chat.tool_formats.mistral import MistralFormat
from caravan.chat.tool_formats.muse import MuseFormat
from caravan.chat.tool_formats.nested_xml import MARK, NestedElements
from caravan.chat.tool_formats.pythonic import PythonicFormat

_MISTRAL_MARKERS = ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]")
_DEEPSEEK_SECTION = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
_DEEPSEEK_CALL = ("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>")
_DSML_ELEMENTS = TypedElements(
    open='<｜DSML｜parameter name="',
    name_end=">",
    close="</｜DSML｜parameter>",
    attribute="string",
    text_type="true",
    json_type="false",
    may_be_blank=True,
)
_GLM_TAGS = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
_HUNYUAN_TAGS = tuple(
    f"<{tag}:opensource>"
    for tag in (
        *("tool_calls", "/tool_calls", "tool_call", "tool_sep", "/tool_call"),
        *("arg_key", "/arg_key", "arg_value", "/arg_value"),
    )
)
_QWEN_ELEMENTS = Elements(open="<parameter=", name_end=">", close="</parameter>", pad="\n")

HERMES = JsonFormat(
    name="hermes",
    shown_by=(("<tool_call>",),),
    triggers=("<tool_call>",),
    markers=("<tool_call>", "</tool_call>"),
    opening="<tool_call>\n",
    closing="\n</tool_call>",
)
# Nothing tells: a guess.
PLAIN_JSON = JsonFormat(name="json", shown_by=(("tools",),), is_bare=True)

_ALL: tuple[ToolFormat, ...] = (
    MuseFormat(
        name="muse",
        shown_by=(("<atem:function_calls>",),),
        markers=(
            *("<|start|>", "<|message|>", "<|eom|>", "<|eot|>"),
            *("<atem:function_calls>", "</atem:function_calls>"),
        ),
        start="<atem:function_calls>\n",
        call_open='<atem:invoke name="',
        name_end='">\n',
        arguments=Elements(open='<atem:parameter name="', name_end='">', close="</atem:parameter>"),
        call_end="</atem:invoke>",
        end="\n</atem:function_calls>",
    ),
    HarmonyFormat(
        name="harmony",
        shown_by=(
            ("<|channel|>", "<|message|>", "to=functions."),
            ("<|channel|>", "<|message|>", "commentary"),
        ),
    ),
    MarkedFormat(
        name="gemma4",
        shown_by=(("<|tool_call>", '<|"|>'),),
        markers=("<|tool_call>", "<tool_call|>", '<|"|>'),
        start="<|tool_call>",
        call_open="call:",
        name_characters=re.compile(r"[^\s{]*"),
        arguments=GemmaArguments('<|"|>'),
        end="<tool_call|>",
    ),
    MarkedFormat(
        name="function_gemma",
        shown_by=(("<start_function_call>",),),
        markers=("<start_function_call>", "<end_function_call>", "<escape>"),
        start="<start_function_call>",
        call_open="call:",
        name_characters=re.compile(r"[^\s{]*"),
        arguments=GemmaArguments("<escape>"),
        end="<end_function_call>",
    ),
    MistralFormat(
        name="mistral",
        shown_by=(("[TOOL_CALLS]", "[ARGS]"),),
        markers=_MISTRAL_MARKERS,
        call_open="[TOOL_CALLS]",
    ),
    MistralFormat(
        name="mistral_list",
        shown_by=(("[TOOL_CALLS]",),),
        markers=_MISTRAL_MARKERS,
        call_open="[TOOL_CALLS]",
        is_list=True,
    ),
    DeepSeekFormat(
        name="deepseek_v3",
        shown_by=(("<｜tool▁calls▁begin｜>", "```json"),),
        markers=(*_DEEPSEEK_SECTION, *_DEEPSEEK_CALL),
        is_section=True,
        start="<｜tool▁calls▁begin｜>",
        call_open="<｜tool▁call▁begin｜>",
        before_name=("function<｜tool▁sep｜>",),
        name_end="\n",
        arguments=JsonArguments(is_fenced=True),
        call_end="<｜tool▁call▁end｜>",
        separator="\n",
        end="<｜tool▁calls▁end｜>",
    ),
    DeepSeekFormat(
        name="deepseek_v31",
        shown_by=(("<｜tool▁calls▁begin｜>",),),
        markers=(*_DEEPSEEK_SECTION, *_DEEPSEEK_CALL),
        is_section=True,
        start="<｜tool▁calls▁begin｜>",
        call_open="<｜tool▁call▁begin｜>",
        name_end="<｜tool▁sep｜>",
        call_end="<｜tool▁call▁end｜>",
        end="<｜tool▁calls▁end｜>",
    ),
    MarkedFormat(
        name="deepseek_v32",
        shown_by=(("｜DSML｜", "function_calls>"),),
        markers=("｜DSML｜",),
        is_section=True,
        start="<｜DSML｜function_calls>\n",
        call_open='<｜DSML｜invoke name="',
        name_end='">\n',
        arguments=_DSML_ELEMENTS,
        call_end="</｜DSML｜invoke>",
        separator="\n",
        end="\n</｜DSML｜function_calls>",
    ),
    MarkedFormat(
        name="deepseek_v4",
        shown_by=(("｜DSML｜", "tool_calls>"),),
        markers=("｜DSML｜",),
        is_section=True,
        start="<｜DSML｜tool_calls>\n",
        call_open='<｜DSML｜invoke name="',
        name_end='">\n',
        arguments=_DSML_ELEMENTS,
        call_end="</｜DSML｜invoke>",
        separator="\n",
        end="\n</｜DSML｜tool_calls>",
    ),
    # `functions.NAME:NUMBER` is both the id and the name of a call.
    MarkedFormat(
        name="kimi_k2",
        shown_by=(("<|tool_calls_section_begin|>",),),
        markers=(
            *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
            *("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
        ),
        is_section=True,
        start="<|tool_calls_section_begin|>",
        call_open="<|tool_call_begin|>",
        before_name=("functions.",),
        after_name=(":", re.compile("0|[1-9][0-9]{0,3}")),
        name_read=re.compile(r"(?P<id>(?:functions\.)?(?P<name>.*?)(?::[^:]*)?)", re.DOTALL),
        name_end="<|tool_call_argument_begin|>",
        call_end="<|tool_call_end|>",
        end="<|tool_calls_section_end|>",
    ),
    # Names and types are attributes; calls are numbered from one.
    MarkedFormat(
        name="kimi_k3",
        shown_by=(("<|open|>", "<|close|>", "<|end_of_msg|>"),),
        markers=("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"),
        dropped=(
            *("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
            *("<|close|>message<|sep|>", "<|end_of_msg|>"),
        ),
        is_section=True,
        start="<|open|>tools<|sep|>",
        call_open='<|open|>call tool="',
        after_name=('" index="', re.compile("[1-9][0-9]{0,2}")),
        name_read=re.compile(r'(?P<name>[^"]*).*', re.DOTALL),
        name_end='"<|sep|>',
        arguments=TypedElements(
            open='<|open|>argument key="',
            name_end="<|sep|>",
            close="<|close|>argument<|sep|>",
            newline="",
            attribute="type",
            text_type="string",
            is_escaped=True,
        ),
        call_end="<|close|>call<|sep|>",
        end="<|close|>tools<|sep|>",
    ),
    # An answer is one or more messages, each with its kind instead of a role. What templates tell of calls
    # leaves the mark out that begins their section.
    MarkedFormat(
        name="solar",
        shown_by=(("<|tool_call:begin|>", "<|tool_call:args|>"),),
        markers=(
            *("<|begin|>", "<|content|>", "<|end|>", "<|tool_calls|>", "<|calls|>"),
            *("<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:args|>", "<|tool_call:end|>"),
        ),
        dropped=("<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>"),
        is_section=True,
        may_lack_start=True,
        lead="<|begin|>assistant",
        start="<|tool_calls|>",
        call_open="<|tool_call:begin|>",
        before_name=(re.compile("[a-z0-9]{10}"), "<|tool_call:name|>"),
        name_read=re.compile(r"(?P<id>.*?)\s*<\|tool_call:name\|>(?P<name>.*)", re.DOTALL),
        name_end="<|tool_call:args|>",
        call_end="<|tool_call:end|>",
    ),
    MarkedFormat(
        name="hunyuan_v3",
        shown_by=(("<arg_key{}>", ":opensource"),),
        markers=_HUNYUAN_TAGS,
        is_section=True,
        start="<tool_calls:opensource>\n",
        call_open="<tool_call:opensource>",
        name_end="<tool_sep:opensource>\n",
        arguments=Elements(
            open="<arg_key:opensource>",
            name_end="</arg_key:opensource>",
            value_open="<arg_value:opensource>",
            close="</arg_value:opensource>",
        ),
        call_end="</tool_call:opensource>",
        separator="\n",
        end="\n</tool_calls:opensource>",
    ),
    MarkedFormat(
        name="glm",
        shown_by=(("<arg_key>", "\n<arg_key>"), ("<arg_key>", "\\n<arg_key>")),
        # Laguna's templates show line breaks that its models leave out.
        not_shown_by="laguna_glm_thinking",
        markers=_GLM_TAGS,
        call_open="<tool_call>",
        name_end="\n",
        name_characters=re.compile(r"[^\s<]*"),
        arguments=Elements(
            open="<arg_key>", name_end="</arg_key>", value_open="<arg_value>", close="</arg_value>"
        ),
        call_end="</tool_call>",
        separator="\n",
    ),
    MarkedFormat(
        name="glm_dense",
        shown_by=(("laguna_glm_thinking",), ("<arg_key>",)),
        markers=_GLM_TAGS,
        call_open="<tool_call>",
        name_characters=re.compile(r"[^\s<]*"),
        arguments=Elements(
            open="<arg_key>",
            name_end="</arg_key>",
            value_open="<arg_value>",
            close="</arg_value>",
            newline="",
        ),
        call_end="</tool_call>",
        separator="\n",
    ),
    MarkedFormat(
        name="seed_oss",
        shown_by=(("<seed:tool_call>",),),
        markers=("<seed:tool_call>", "</seed:tool_call>"),
        start="<seed:tool_call>\n",
        call_open="<function=",
        name_end=">\n",
        arguments=Elements(open="<parameter=", name_end=">", close="</parameter>"),
        call_end="</function>",
        separator="\n",
        end="\n</seed:tool_call>",
    ),
    MarkedFormat(
        name="minimax_m2",
        shown_by=(("<minimax:tool_call>",),),
        markers=("<minimax:tool_call>", "</minimax:tool_call>"),
        is_section=True,
        start="<minimax:tool_call>\n",
        call_open='<invoke name="',
        name_end='">\n',
        arguments=Elements(open='<parameter name="', name_end='">', close="</parameter>"),
        call_end="</invoke>",
        separator="\n",
        end="\n</minimax:tool_call>",
    ),
    MarkedFormat(
        name="minimax_m3",
        shown_by=((MARK,),),
        markers=(MARK, "<tool_call>", "</tool_call>"),
        is_section=True,
        start=f"{MARK}<tool_call>\n",
        call_open=f'{MARK}<invoke name="',
        name_end='">',
        arguments=NestedElements(),
        call_end=f"{MARK}</invoke>",
        separator="\n",
        end=f"\n{MARK}</tool_call>",
    ),
    MarkedFormat(
        name="qwen_coder",
        shown_by=(("<tool_call>", "<function=", "<parameter="),),
        markers=("<tool_call>", "</tool_call>"),
        may_lack_start=True,
        start="<tool_call>\n",
        call_open="<function=",
        name_end=">\n",
        arguments=_QWEN_ELEMENTS,
        call_end="</function>",
        separator="\n",
        end="\n</tool_call>",
    ),
    Functionary31Format(
        name="functionary_v31",
        shown_by=(("<function=", "}</function>"),),
        markers=("<function=", "</function>", "<|python_tag|>"),
        call_open="<function=",
        name_characters=re.compile(r"[^\s<>{]*"),
        name_end=">",
        call_end="</function>",
    ),
    MarkedFormat(
        name="minicpm5",
        shown_by=(("<function name=", "<param name="),),
        markers=("<function", "</function>", "<param", "</param>", "<![CDATA[", "]]>"),
        call_open='<function name="',
        name_end='">',
        arguments=Elements(open='<param name="', name_end='">', close="</param>", newline="", has_cdata=True),
        call_end="</function>",
        separator="\n",
    ),
    Functionary32Format(
        name="functionary_v3",
        shown_by=((">>>all", ">>>${recipient}"),),
        is_bare=True,
    ),
    PythonicFormat(
        name="lfm2",
        # The last one of this family shows neither marks nor calls.
        shown_by=(("<|tool_call_start|>",), ("<|tool_list_start|>",), ("List of tools: [",)),
        markers=("<|tool_call_start|>", "<|tool_call_end|>"),
        start="<|tool_call_start|>",
        end="<|tool_call_end|>",
    ),
    JsonFormat(
        name="cohere",
        shown_by=(("<|START_ACTION|>",),),
        triggers=("<|START_ACTION|>",),
        markers=("<|START_ACTION|>", "<|END_ACTION|>"),
        opening="<|START_ACTION|>[",
        closing="]<|END_ACTION|>",
        separator=", ",
        name_key="tool_name",
        arguments_key="parameters",
    ),
    CommandRFormat(
        name="command_r",
        shown_by=(("Action:", "```json", "tool_name"),),
        triggers=("Action:\n```json", "Action: ```json", "Action:```json"),
        is_section=True,
        opening="Action:\n```json\n[\n    ",
        closing="\n]```",
        separator=",\n    ",
        name_key="tool_name",
        arguments_key="parameters",
        pads=("\n        ", "\n        ", "\n    "),
    ),
    JsonFormat(
        name="granite",
        shown_by=(("<|tool_call|>",),),
        triggers=("<|tool_call|>",),
        markers=("<|tool_call|>",),
        opening="<|tool_call|>[",
        closing="]",
        separator=", ",
    ),
    JsonFormat(
        name="nemotron",
        shown_by=(("<TOOLCALL>",),),
        triggers=("<TOOLCALL>",),
        markers=("<TOOLCALL>", "</TOOLCALL>"),
        opening="<TOOLCALL>[",
        closing="]</TOOLCALL>",
        separator=", ",
    ),
    JsonFormat(
        name="apertus",
        shown_by=(("<|tools_prefix|>",),),
        triggers=("<|tools_prefix|>",),
        markers=("<|tools_prefix|>", "<|tools_suffix|>"),
        opening="<|tools_prefix|>[",
        closing="]<|tools_suffix|>",
        separator=", ",
        name_key="",
    ),
    JsonFormat(
        name="gigachat31",
        shown_by=(("<|role_sep|>", "<|function_call|>"),),
        triggers=("<|function_call|>",),
        markers=("<|function_call|>",),
        opening="<|function_call|>",
        is_single=True,
    ),
    # The roles of messages stand before the second of these marks.
    JsonFormat(
        name="gigachat3",
        shown_by=(("<|role_sep|>", "function call"),),
        triggers=("function call<|role_sep|>",),
        markers=("<|message_sep|>", "<|role_sep|>"),
        dropped=("<|message_sep|>",),
        lead="<|message_sep|>\n\n",
        opening="function call<|role_sep|>\n",
        is_single=True,
    ),
    JsonFormat(
        name="firefunction",
        shown_by=(("functools[",),),
        triggers=("functools[",),
        opening="functools[",
        closing="]",
        separator=", ",
    ),
    # Some of its templates name the shorter marks and show the longer ones.
    JsonFormat(
        name="apriel",
        shown_by=(("<tool_calls>[",),),
        triggers=("<tool_calls>", "<tool_call>"),
        markers=("<tool_calls>", "</tool_calls>", "<tool_call>", "</tool_call>"),
        other_ends=("</tool_call>",),
        opening="<tool_calls>[",
        closing="]</tool_calls>",
        separator=", ",
    ),
    JsonFormat(
        name="minimax_m1",
        shown_by=(("<tool_calls>", "</tool_calls>"),),
        triggers=("<tool_calls>",),
        markers=("<tool_calls>", "</tool_calls>"),
        is_section=True,
        opening="<tool_calls>\n",
        closing="\n</tool_calls>",
    ),
    HERMES,
    PythonicFormat(
        name="pythonic",
        shown_by=(("<|python_start|>",), ("params_name1=params_value1",)),
        markers=("<|python_start|>", "<|python_end|>"),
        is_bare=True,
        start="<|python_start|>",
        end="<|python_end|>",
    ),
    LlamaFormat(
        name="llama3_json",
        shown_by=(('"parameters": dictionary of argument name',),),
        triggers=("<|python_tag|>",),
        markers=("<|python_tag|>",),
        is_bare=True,
        separator="; ",
        arguments_key="parameters",
    ),
    PLAIN_JSON,
)
FORMATS = {form.name: form for form in _ALL}


def shown_format(template: str) -> ToolFormat | None:
    """The first format that a chat template shows; None where it has no place for tools."""
    return next((form for form in _ALL if form.is_shown_by(template)), None)
