"""Formats of tool calls that their templates show by marks of their own; the first that `registry` looks at.

What an entry is, is said there.
"""

import re

from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.elements import Elements, TypedElements
from caravan.chat.tool_formats.functionary import Functionary31Format
from caravan.chat.tool_formats.gemma_arguments import GemmaArguments
from caravan.chat.tool_formats.harmony import HarmonyFormat
from caravan.chat.tool_formats.json_families import MistralFormat
from caravan.chat.tool_formats.marked_calls import DeepSeekFormat, MarkedFormat
from caravan.chat.tool_formats.muse import MuseFormat
from caravan.chat.tool_formats.nested_xml import MARK, NestedElements

_DSML_CALL = '<｜DSML｜invoke name="{name}">\n{arguments}</｜DSML｜invoke>'
_DSML_ELEMENTS = TypedElements(
    '<｜DSML｜parameter name="{name}" string="{type}">{value}</｜DSML｜parameter>\n',
    text_type="true",
    json_type="false",
    may_be_blank=True,
)
_FUNCTION = "<function={name}>\n{arguments}</function>"
_NO_SPACE = re.compile(r"[^\s<{]*")

MARKED: tuple[ToolFormat, ...] = (
    MuseFormat(
        name="muse",
        shown_by=(("<atem:function_calls>",),),
        markers=(
            *("<|start|>", "<|message|>", "<|eom|>", "<|eot|>"),
            *("<atem:function_calls>", "</atem:function_calls>"),
        ),
        around="<atem:function_calls>\n{call}\n</atem:function_calls>",
        call='<atem:invoke name="{name}">\n{arguments}</atem:invoke>',
        arguments=Elements('<atem:parameter name="{name}">{value}</atem:parameter>\n'),
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
        around="<|tool_call>{call}<tool_call|>",
        call="call:{name}{arguments}",
        name_characters=_NO_SPACE,
        arguments=GemmaArguments('<|"|>'),
    ),
    MarkedFormat(
        name="function_gemma",
        shown_by=(("<start_function_call>",),),
        markers=("<start_function_call>", "<end_function_call>", "<escape>"),
        around="<start_function_call>{call}<end_function_call>",
        call="call:{name}{arguments}",
        name_characters=_NO_SPACE,
        arguments=GemmaArguments("<escape>"),
    ),
    MistralFormat(name="mistral", shown_by=(("[TOOL_CALLS]", "[ARGS]"),)),
    MistralFormat(name="mistral_list", shown_by=(("[TOOL_CALLS]",),), is_list=True),
    DeepSeekFormat(
        name="deepseek_v3",
        shown_by=(("<｜tool▁calls▁begin｜>", "```json"),),
        around="<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>",
        call=(
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>"
        ),
        opening="<｜tool▁call▁begin｜>",
        separator="\n",
    ),
    DeepSeekFormat(
        name="deepseek_v31",
        shown_by=(("<｜tool▁calls▁begin｜>",),),
        around="<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>",
        call="<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>",
    ),
    MarkedFormat(
        name="deepseek_v32",
        shown_by=(("｜DSML｜", "function_calls>"),),
        markers=("｜DSML｜",),
        around="<｜DSML｜function_calls>\n{calls}\n</｜DSML｜function_calls>",
        call=_DSML_CALL,
        arguments=_DSML_ELEMENTS,
        separator="\n",
    ),
    MarkedFormat(
        name="deepseek_v4",
        shown_by=(("｜DSML｜", "tool_calls>"),),
        markers=("｜DSML｜",),
        around="<｜DSML｜tool_calls>\n{calls}\n</｜DSML｜tool_calls>",
        call=_DSML_CALL,
        arguments=_DSML_ELEMENTS,
        separator="\n",
    ),
    # `functions.NAME:NUMBER` is both the id and the name of a call.
    MarkedFormat(
        name="kimi_k2",
        shown_by=(("<|tool_calls_section_begin|>",),),
        around="<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>",
        call=(
            "<|tool_call_begin|>functions.{name}:{id}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
        ),
        id_pattern="0|[1-9][0-9]{0,3}",
        opening="<|tool_call_begin|>",
        head=re.compile(r"(?P<id>(?:functions\.)?(?P<name>.*?)(?::[^:]*)?)", re.DOTALL),
    ),
    # Calls are numbered from one.
    MarkedFormat(
        name="kimi_k3",
        shown_by=(("<|open|>", "<|close|>", "<|end_of_msg|>"),),
        dropped=(
            *("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
            *("<|close|>message<|sep|>", "<|end_of_msg|>"),
        ),
        around="<|open|>tools<|sep|>{calls}<|close|>tools<|sep|>",
        call='<|open|>call tool="{name}" index="{id}"<|sep|>{arguments}<|close|>call<|sep|>',
        id_pattern="[1-9][0-9]{0,2}",
        head=re.compile(r'(?P<name>[^"]*).*', re.DOTALL),
        arguments=TypedElements(
            '<|open|>argument key="{name}" type="{type}"<|sep|>{value}<|close|>argument<|sep|>',
            text_type="string",
            is_escaped=True,
        ),
    ),
    # An answer is one or more messages, each with its kind instead of a role. What templates tell of calls
    # leaves the mark out that begins their section.
    MarkedFormat(
        name="solar",
        shown_by=(("<|tool_call:begin|>", "<|tool_call:args|>"),),
        dropped=("<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>"),
        lead="<|begin|>assistant",
        around="<|tool_calls|>{calls}",
        call=(
            "<|tool_call:begin|>{id}<|tool_call:name|>{name}<|tool_call:args|>{arguments}<|tool_call:end|>"
        ),
        id_pattern="[a-z0-9]{10}",
        head=re.compile(r"(?P<id>.*?)\s*<\|tool_call:name\|>(?P<name>.*)", re.DOTALL),
        may_lack_start=True,
    ),
    MarkedFormat(
        name="hunyuan_v3",
        shown_by=(("<arg_key{}>", ":opensource"),),
        around="<tool_calls:opensource>\n{calls}\n</tool_calls:opensource>",
        call="<tool_call:opensource>{name}<tool_sep:opensource>\n{arguments}</tool_call:opensource>",
        arguments=Elements(
            "<arg_key:opensource>{name}</arg_key:opensource>\n"
            "<arg_value:opensource>{value}</arg_value:opensource>\n"
        ),
        separator="\n",
    ),
    MarkedFormat(
        name="glm",
        shown_by=(("<arg_key>", "\n<arg_key>"), ("<arg_key>", "\\n<arg_key>")),
        # Laguna's templates show line breaks that its models leave out.
        not_shown_by="laguna_glm_thinking",
        call="<tool_call>{name}\n{arguments}</tool_call>",
        name_characters=_NO_SPACE,
        arguments=Elements("<arg_key>{name}</arg_key>\n<arg_value>{value}</arg_value>\n"),
        separator="\n",
    ),
    MarkedFormat(
        name="glm_dense",
        shown_by=(("laguna_glm_thinking",), ("<arg_key>",)),
        call="<tool_call>{name}{arguments}</tool_call>",
        name_characters=_NO_SPACE,
        arguments=Elements("<arg_key>{name}</arg_key><arg_value>{value}</arg_value>"),
        separator="\n",
    ),
    MarkedFormat(
        name="seed_oss",
        shown_by=(("<seed:tool_call>",),),
        markers=("<seed:tool_call>", "</seed:tool_call>"),
        around="<seed:tool_call>\n{call}\n</seed:tool_call>",
        call=_FUNCTION,
        arguments=Elements("<parameter={name}>{value}</parameter>\n"),
        separator="\n",
    ),
    MarkedFormat(
        name="minimax_m2",
        shown_by=(("<minimax:tool_call>",),),
        markers=("<minimax:tool_call>", "</minimax:tool_call>"),
        around="<minimax:tool_call>\n{calls}\n</minimax:tool_call>",
        call='<invoke name="{name}">\n{arguments}</invoke>',
        arguments=Elements('<parameter name="{name}">{value}</parameter>\n'),
        separator="\n",
    ),
    MarkedFormat(
        name="minimax_m3",
        shown_by=((MARK,),),
        markers=(MARK, "<tool_call>", "</tool_call>"),
        around=f"{MARK}<tool_call>\n{{calls}}\n{MARK}</tool_call>",
        call=f'{MARK}<invoke name="{{name}}">{{arguments}}{MARK}</invoke>',
        arguments=NestedElements(),
        separator="\n",
    ),
    MarkedFormat(
        name="qwen_coder",
        shown_by=(("<tool_call>", "<function=", "<parameter="),),
        markers=("<tool_call>", "</tool_call>"),
        around="<tool_call>\n{call}\n</tool_call>",
        call=_FUNCTION,
        arguments=Elements("<parameter={name}>\n{value}\n</parameter>\n"),
        separator="\n",
        may_lack_start=True,
    ),
    Functionary31Format(
        name="functionary_v31",
        shown_by=(("<function=", "}</function>"),),
        markers=("<function=", "</function>", "<|python_tag|>"),
        call="<function={name}>{arguments}</function>",
        name_characters=re.compile(r"[^\s<>{]*"),
    ),
    MarkedFormat(
        name="minicpm5",
        shown_by=(("<function name=", "<param name="),),
        markers=("<function", "</function>", "<param", "</param>", "<![CDATA[", "]]>"),
        call='<function name="{name}">{arguments}</function>',
        arguments=Elements('<param name="{name}">{value}</param>', has_cdata=True),
        separator="\n",
    ),
)
