"""Families, recognised by excerpts of published templates."""

import pytest
from caravan.chat.families import recognise
from caravan.chat.parsing.events import Channel, Delta
from caravan.chat.tool_formats.registry import FORMATS
from caravan.models.resident import model_path
from gguf import GGUFReader

XML = "<tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>"
QWEN = '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>'
THINK = "{%- if '</think>' in content %}"

EXCERPTS = {
    "Qwen2.5": (QWEN, "hermes", None),
    "Qwen3": (QWEN + THINK, "hermes", "<think>"),
    "Hermes 3": ('<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}', "hermes", None),
    "Granite 4": ("<tools></tools> XML tags: <tool_call></tool_call> <|start_of_role|>", "hermes", None),
    "Qwen3-Coder": (XML, "qwen_coder", None),
    "Qwen3.5": (XML + "\\nvalue_1\\n</parameter><|vision_start|>" + THINK, "qwen_coder", "<think>"),
    "Seed-OSS": ("<seed:tool_call>\\n<function=f>\\n<parameter=p> </seed:think>", "seed_oss", "<seed:think>"),
    "MiniMax-M2": ("'<minimax:tool_call>' '<invoke name=\"' <tool_call> </think>", "minimax_m2", "<think>"),
    "MiniMax-M3": (
        "tools ns_token = ']<]minimax[>[' '<tool_call>' '</mm:think>'",
        "minimax_m3",
        "<mm:think>",
    ),
    "Llama 3.1": (
        '{"name": function name, "parameters": dictionary of argument name and its value} <|python_tag|>',
        "llama3_json",
        None,
    ),
    "Llama 4": ("[func_name1(params_name1=params_value1, ...)]", "pythonic", None),
    "LFM2": ("<|tool_list_start|>[{{ tools }}]<|tool_list_end|>", "lfm2", None),
    "Mistral Nemo": ('{{- "[TOOL_CALLS][" }}', "mistral_list", None),
    "Mistral Small 3.2": ("'[TOOL_CALLS]' + name '[CALL_ID]' '[ARGS]'", "mistral", None),
    "Ministral 3 Reasoning": ("[TOOL_CALLS] [ARGS] [THINK] [/THINK]", "mistral", "[THINK]"),
    "DeepSeek R1": ("<｜tool▁calls▁begin｜> '```json' '</think>'", "deepseek_v3", "<think>"),
    "DeepSeek V3.1": ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜> </think>", "deepseek_v31", "<think>"),
    "DeepSeek V3.2": ("dsml_token = '｜DSML｜' 'function_calls>' '</think>'", "deepseek_v32", "<think>"),
    "DeepSeek V4": ("dsml_token = '｜DSML｜' + 'tool_calls>' '</think>'", "deepseek_v4", "<think>"),
    "Kimi K2": ("<|tool_calls_section_begin|> <|tool_call_begin|>", "kimi_k2", None),
    "Kimi K2 Thinking": ("<think>{{rc}}</think> <|tool_calls_section_begin|>", "kimi_k2", "<think>"),
    "GLM 4.6": ("<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key> </think>", "glm", "<think>"),
    "GLM 4.7": ("<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key> </think>", "glm_dense", "<think>"),
    "Gemma 4": ('<|tool_call>call: <|"|> <|channel>thought <channel|>', "gemma4", "<|channel>thought"),
    "FunctionGemma": ("<start_function_call>call: <escape>", "function_gemma", None),
    "Granite 3.3": (
        "<|tool_call|> <think></think> and write your response between <response></response> for each",
        "granite",
        "<think>",
    ),
    "Nemotron Nano 2": ("<TOOLCALL>[ <tool_call> </think>", "nemotron", "<think>"),
    "Apriel": ('<tool_calls>[{"name": <function-name-1>', "apriel", None),
    "Apriel 1.6": (
        "'Here are my reasoning steps:\\n' '\\n[BEGIN FINAL RESPONSE]\\n' <tool_calls>[",
        "apriel",
        "Here are my reasoning steps:",
    ),
    "Command R7B": ("<|START_ACTION|> <|START_THINKING|>", "cohere", "<|START_THINKING|>"),
    "gpt-oss": ("<|channel|>analysis<|message|> to=functions.", "harmony", "<|channel|>analysis<|message|>"),
    "LFM2.5": ("'List of tools: [' + (tool | tojson) </think>", "lfm2", "<think>"),
    "Command R+": ("'Action:\\n```json\\n[\\n' '\"tool_name\": \"'", "command_r", None),
    "Firefunction": ("prefix function calls with functools marker functools[{", "firefunction", None),
    "GigaChat 3": ("'function call' + '<|role_sep|>\\n' tools", "gigachat3", None),
    "GigaChat 3.1": ("function_call='<|function_call|>' role_sep='<|role_sep|>'", "gigachat31", None),
    "MiniMax-M1": (
        "based on MiniMax-M1 model <tool_calls>\\n{...}\\n</tool_calls>",
        "minimax_m1",
        "<think>",
    ),
    "Apertus": ("'<|tools_prefix|>' '<|inner_prefix|>' tools", "apertus", "<|inner_prefix|>"),
    "Functionary 3.1": ('<function=f>{"example_name": "example_value"}</function>', "functionary_v31", None),
    "Functionary 3.2": ("'>>>all\\n' >>>${recipient}", "functionary_v3", None),
    "Kimi K3": (
        "'<|open|>' '<|close|>' + tag + '<|sep|>' '<|end_of_msg|>'",
        "kimi_k3",
        "<|open|>think<|sep|>",
    ),
    "Solar Open": ("<|tool_call:begin|> <|tool_call:args|> <|think|>", "solar", "<|think|>"),
    "Hunyuan 3": (
        "set HYTK = ':opensource' '<arg_key{}>'.format(HYTK) '<think{}>'",
        "hunyuan_v3",
        "<think:opensource>",
    ),
    "MiniCPM5": ('<function name="f"><param name="p">v</param></function>', "minicpm5", None),
    "Muse Glimmer": ("<atem:function_calls> <|eom|>", "muse", "to=self<|message|>"),
    "Laguna": ("tool_call>f\\n<arg_key>a</arg_key> # laguna_glm_thinking", "glm_dense", None),
    "Ling 3": ("<tool_call>{function-name}\\n<arg_key>{arg-key-1}</arg_key>", "glm", None),
    "some other": ("{% for tool in tools %}", "json", None),
    "Gemma 2": ("<start_of_turn>", "generic", None),
}


@pytest.mark.parametrize("model", EXCERPTS)
def test_recognised(model: str) -> None:
    template, name, start = EXCERPTS[model]
    family = recognise(template)
    assert family.tools is FORMATS[name]
    assert (family.reasoning.start if family.reasoning else None) == start
    assert family.is_guess == (model in ("some other", "Gemma 2"))


@pytest.mark.parametrize(
    ("answer", "reasoning"), [("<mm:think>Hm.</mm:think>Hi.", "Hm."), ("</mm:think>Hi.", ""), ("Hi.", "")]
)
def test_a_model_that_need_not_think_may_say_so(answer: str, reasoning: str) -> None:
    parser = recognise(EXCERPTS["MiniMax-M3"][0]).parser()
    deltas = [event for event in (*parser.feed(answer), *parser.finish()) if isinstance(event, Delta)]
    assert "".join(delta.text for delta in deltas if delta.channel is Channel.REASONING) == reasoning
    assert "".join(delta.text for delta in deltas if delta.channel is Channel.CONTENT) == "Hi."


def test_a_format_can_be_named() -> None:
    family = recognise(EXCERPTS["Qwen3"][0], "qwen_coder")
    assert family.tools is FORMATS["qwen_coder"]
    assert family.reasoning is not None
    assert not recognise(EXCERPTS["some other"][0], "json").is_guess


def test_what_has_to_be_seen() -> None:
    family = recognise(EXCERPTS["Mistral Small 3.2"][0])
    assert family.tools.announcements([]) == ("[TOOL_CALLS]",)
    assert {"[TOOL_CALLS]", "[ARGS]"} <= set(family.shown)
    assert {"<|channel|>", "<|message|>", "<|end|>"} <= set(recognise(EXCERPTS["gpt-oss"][0]).shown)
    assert recognise("").shown == ('{"response": "text"}',)
    assert FORMATS["hermes"].markers == ("<tool_call>", "</tool_call>")


def test_thoughts_that_the_prompt_opens() -> None:
    family = recognise(EXCERPTS["Qwen3"][0])
    assert family.is_open("<|im_start|>assistant\n<think>\n")
    assert not family.is_open("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert not recognise("").is_open("<think>")


def test_granites_answers_are_unwrapped() -> None:
    parser = recognise(EXCERPTS["Granite 3.3"][0]).parser()
    events = parser.feed("<think>a</think>\n<response>b</response>") + parser.finish()
    assert events == [Delta(Channel.REASONING, "a"), Delta(Channel.CONTENT, "b")]


def test_the_resident_model() -> None:
    field = GGUFReader(model_path()).fields["tokenizer.chat_template"]
    family = recognise(bytes(field.parts[field.data[0]]).decode())
    assert family.tools is FORMATS["hermes"]
    assert family.reasoning is not None
