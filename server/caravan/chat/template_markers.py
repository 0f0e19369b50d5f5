"""What chat templates give away of how their models think and call tools, by texts that stand in them."""

from caravan.chat.parsing.tag_parser import ReasoningMarkers
from caravan.chat.tool_formats import registry as formats
from caravan.chat.tool_formats.base import ToolFormat

HARMONY_REASONING = ReasoningMarkers("<|channel|>analysis<|message|>", "<|end|>")
_THINK = ReasoningMarkers("<think>", "</think>")
# By what only such templates contain, the most telling first.
REASONING = (
    ("<|channel>", ReasoningMarkers("<|channel>thought", "<channel|>")),
    ("[/THINK]", ReasoningMarkers("[THINK]", "[/THINK]")),
    ("</seed:think>", ReasoningMarkers("<seed:think>", "</seed:think>")),
    (
        "<|START_TEXT|>",
        ReasoningMarkers("<|START_THINKING|>", "<|END_THINKING|>", ("<|START_TEXT|>", "<|END_TEXT|>")),
    ),
    (
        "<|START_THINKING|>",
        ReasoningMarkers(
            "<|START_THINKING|>", "<|END_THINKING|>", ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
        ),
    ),
    # One that need not think may say so by the end mark alone.
    ("</mm:think>", ReasoningMarkers("<mm:think>", "</mm:think>", ("</mm:think>",))),
    ("</response> for each", ReasoningMarkers("<think>", "</think>", ("<response>", "</response>"))),
    ("<|inner_prefix|>", ReasoningMarkers("<|inner_prefix|>", "<|inner_suffix|>")),
    ("<think{}>", ReasoningMarkers("<think:opensource>", "</think:opensource>")),
    ("<atem:function_calls>", ReasoningMarkers("to=self<|message|>", "<|eom|>")),
    ("<|tool_call:begin|>", ReasoningMarkers("<|think|>", "<|end|>")),
    ("<|end_of_msg|>", ReasoningMarkers("<|open|>think<|sep|>", "<|close|>think<|sep|>")),
    ("MiniMax-M1 model", _THINK),
    (
        "[BEGIN FINAL RESPONSE]",
        ReasoningMarkers(
            "Here are my reasoning steps:",
            "[BEGIN FINAL RESPONSE]",
            ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),
        ),
    ),
    ("</think>", _THINK),
    ("<think>", _THINK),
)
# All of the marks are in the template; the first that fits is it.
FORMATS_BY_MARKS: tuple[tuple[tuple[str, ...], ToolFormat], ...] = (
    (("<atem:function_calls>",), formats.MUSE),
    (("<|channel|>", "<|message|>", "to=functions."), formats.HARMONY),
    (("<|channel|>", "<|message|>", "commentary"), formats.HARMONY),
    (("<|tool_call>", '<|"|>'), formats.GEMMA),
    (("<start_function_call>",), formats.FUNCTION_GEMMA),
    (("[TOOL_CALLS]", "[ARGS]"), formats.MISTRAL),
    (("[TOOL_CALLS]",), formats.MISTRAL_LIST),
    (("<｜tool▁calls▁begin｜>", "```json"), formats.DEEPSEEK_V3),
    (("<｜tool▁calls▁begin｜>",), formats.DEEPSEEK_V31),
    (("｜DSML｜", "function_calls>"), formats.DEEPSEEK_V32),
    (("｜DSML｜", "tool_calls>"), formats.DEEPSEEK_V4),
    (("<|tool_calls_section_begin|>",), formats.KIMI),
    (("<|open|>", "<|close|>", "<|end_of_msg|>"), formats.KIMI_K3),
    (("<|tool_call:begin|>", "<|tool_call:args|>"), formats.SOLAR),
    (("<arg_key{}>", ":opensource"), formats.HUNYUAN),
    # Laguna's templates show line breaks that its models leave out.
    (("laguna_glm_thinking",), formats.GLM_DENSE),
    (("<arg_key>", "\n<arg_key>"), formats.GLM),
    (("<arg_key>", "\\n<arg_key>"), formats.GLM),
    (("<arg_key>",), formats.GLM_DENSE),
    (("<seed:tool_call>",), formats.SEED),
    (("<minimax:tool_call>",), formats.MINIMAX),
    (("]<]minimax[>[",), formats.MINIMAX_M3),
    (("<tool_call>", "<function=", "<parameter="), formats.QWEN_CODER),
    (("<function=", "}</function>"), formats.FUNCTIONARY_31),
    (("<function name=", "<param name="), formats.MINICPM),
    ((">>>all", ">>>${recipient}"), formats.FUNCTIONARY),
    (("<|tool_call_start|>",), formats.LFM2),
    (("<|tool_list_start|>",), formats.LFM2),
    # The rest of this family shows neither marks nor calls.
    (("List of tools: [",), formats.LFM2),
    (("<|START_ACTION|>",), formats.COHERE),
    (("Action:", "```json", "tool_name"), formats.COMMAND_R),
    (("<|tool_call|>",), formats.GRANITE),
    (("<TOOLCALL>",), formats.NEMOTRON),
    (("<|tools_prefix|>",), formats.APERTUS),
    (("<|role_sep|>", "<|function_call|>"), formats.GIGACHAT31),
    (("<|role_sep|>", "function call"), formats.GIGACHAT3),
    (("functools[",), formats.FIREFUNCTION),
    (("<tool_calls>[",), formats.APRIEL),
    (("<tool_calls>", "</tool_calls>"), formats.MINIMAX_M1),
    (("<tool_call>",), formats.HERMES),
    (("<|python_start|>",), formats.LLAMA_PYTHONIC),
    (("params_name1=params_value1",), formats.LLAMA_PYTHONIC),
    (('"parameters": dictionary of argument name',), formats.LLAMA_JSON),
    # Nothing tells: a guess.
    (("tools",), formats.PLAIN_JSON),
)
