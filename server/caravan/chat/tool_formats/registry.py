"""The formats of tool calls, by name."""

from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.command_r import CommandRFormat
from caravan.chat.tool_formats.deepseek import DeepSeekFormat
from caravan.chat.tool_formats.dsml_format import DsmlFormat
from caravan.chat.tool_formats.functionary import FunctionaryFormat
from caravan.chat.tool_formats.gemma import GemmaFormat
from caravan.chat.tool_formats.glm import GlmFormat
from caravan.chat.tool_formats.harmony import HarmonyFormat
from caravan.chat.tool_formats.json_format import JsonFormat
from caravan.chat.tool_formats.keyed_json import KeyedJsonFormat
from caravan.chat.tool_formats.kimi import KimiFormat
from caravan.chat.tool_formats.kimi_k3 import KimiK3Format
from caravan.chat.tool_formats.llama import LlamaFormat
from caravan.chat.tool_formats.minicpm import MiniCpmFormat
from caravan.chat.tool_formats.mistral import MistralFormat
from caravan.chat.tool_formats.muse import MuseFormat
from caravan.chat.tool_formats.nested_xml import NestedXmlFormat
from caravan.chat.tool_formats.pythonic import PythonicFormat
from caravan.chat.tool_formats.solar import SolarFormat
from caravan.chat.tool_formats.tagged_json import TaggedJsonFormat
from caravan.chat.tool_formats.xml_format import XmlFormat

HERMES = JsonFormat(
    "hermes",
    triggers=("<tool_call>",),
    markers=("<tool_call>", "</tool_call>"),
    end="</tool_call>",
    opening="<tool_call>\n",
    closing="\n</tool_call>",
)
LLAMA_JSON = LlamaFormat()
PLAIN_JSON = JsonFormat("json", is_bare=True)
GRANITE = JsonFormat(
    "granite",
    triggers=("<|tool_call|>",),
    markers=("<|tool_call|>",),
    opening="<|tool_call|>[",
    closing="]",
    separator=", ",
)
NEMOTRON = JsonFormat(
    "nemotron",
    triggers=("<TOOLCALL>",),
    markers=("<TOOLCALL>", "</TOOLCALL>"),
    end="</TOOLCALL>",
    opening="<TOOLCALL>[",
    closing="]</TOOLCALL>",
    separator=", ",
)
# Some of its templates name the shorter marks and show the longer ones.
APRIEL = JsonFormat(
    "apriel",
    triggers=("<tool_calls>", "<tool_call>"),
    markers=("<tool_calls>", "</tool_calls>", "<tool_call>", "</tool_call>"),
    end="</tool_calls>",
    other_ends=("</tool_call>",),
    opening="<tool_calls>[",
    closing="]</tool_calls>",
    separator=", ",
)
COHERE = JsonFormat(
    "cohere",
    triggers=("<|START_ACTION|>",),
    markers=("<|START_ACTION|>", "<|END_ACTION|>"),
    end="<|END_ACTION|>",
    opening="<|START_ACTION|>[",
    closing="]<|END_ACTION|>",
    separator=", ",
    name_key="tool_name",
    arguments_key="parameters",
)
COMMAND_R = CommandRFormat()
FIREFUNCTION = JsonFormat(
    "firefunction",
    triggers=("functools[",),
    opening="functools[",
    closing="]",
    separator=", ",
)
# The roles of messages stand before the second of these marks.
GIGACHAT3 = JsonFormat(
    "gigachat3",
    triggers=("function call<|role_sep|>",),
    markers=("<|message_sep|>", "<|role_sep|>"),
    dropped=("<|message_sep|>",),
    opening="function call<|role_sep|>\n",
    lead="<|message_sep|>\n\n",
    is_single=True,
)
GIGACHAT31 = JsonFormat(
    "gigachat31",
    triggers=("<|function_call|>",),
    markers=("<|function_call|>",),
    opening="<|function_call|>",
    is_single=True,
)
MINIMAX_M1 = JsonFormat(
    "minimax_m1",
    triggers=("<tool_calls>",),
    markers=("<tool_calls>", "</tool_calls>"),
    end="</tool_calls>",
    opening="<tool_calls>\n",
    closing="\n</tool_calls>",
    is_section=True,
)
APERTUS = KeyedJsonFormat("apertus", "<|tools_prefix|>", "<|tools_suffix|>")
FUNCTIONARY_31 = TaggedJsonFormat("functionary_v31")
FUNCTIONARY = FunctionaryFormat()

MISTRAL_LIST = MistralFormat("mistral_list", is_list=True)
MISTRAL = MistralFormat("mistral", is_list=False)
DEEPSEEK_V3 = DeepSeekFormat("deepseek_v3", is_fenced=True)
DEEPSEEK_V31 = DeepSeekFormat("deepseek_v31", is_fenced=False)
DEEPSEEK_V32 = DsmlFormat("deepseek_v32", "<｜DSML｜function_calls>", "</｜DSML｜function_calls>")
DEEPSEEK_V4 = DsmlFormat("deepseek_v4", "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>")
KIMI = KimiFormat()
KIMI_K3 = KimiK3Format()
SOLAR = SolarFormat()
LLAMA_PYTHONIC = PythonicFormat("pythonic", "<|python_start|>", "<|python_end|>", is_bare=True)
LFM2 = PythonicFormat("lfm2", "<|tool_call_start|>", "<|tool_call_end|>")
GEMMA = GemmaFormat("gemma4", "<|tool_call>", "<tool_call|>", '<|"|>')
FUNCTION_GEMMA = GemmaFormat("function_gemma", "<start_function_call>", "<end_function_call>", "<escape>")
GLM = GlmFormat("glm")
GLM_DENSE = GlmFormat("glm_dense", newline="")
HUNYUAN = GlmFormat("hunyuan_v3", suffix=":opensource", is_section=True)
QWEN_CODER = XmlFormat("qwen_coder", "<tool_call>", "</tool_call>", may_lack_start=True)
SEED = XmlFormat("seed_oss", "<seed:tool_call>", "</seed:tool_call>", pad="")
MINIMAX = XmlFormat(
    "minimax_m2",
    "<minimax:tool_call>",
    "</minimax:tool_call>",
    call_open='<invoke name="',
    call_end="</invoke>",
    parameter_open='<parameter name="',
    name_end='">',
    pad="",
    is_section=True,
)
MINIMAX_M3 = NestedXmlFormat()
MINICPM = MiniCpmFormat()
MUSE = MuseFormat()
HARMONY = HarmonyFormat()

_ALL: tuple[ToolFormat, ...] = (
    HERMES,
    LLAMA_JSON,
    PLAIN_JSON,
    GRANITE,
    NEMOTRON,
    APRIEL,
    COHERE,
    MISTRAL_LIST,
    MISTRAL,
    DEEPSEEK_V3,
    DEEPSEEK_V31,
    DEEPSEEK_V32,
    DEEPSEEK_V4,
    KIMI,
    LLAMA_PYTHONIC,
    LFM2,
    GEMMA,
    FUNCTION_GEMMA,
    GLM,
    GLM_DENSE,
    QWEN_CODER,
    SEED,
    MINIMAX,
    HARMONY,
    COMMAND_R,
    FIREFUNCTION,
    GIGACHAT3,
    GIGACHAT31,
    MINIMAX_M1,
    MINIMAX_M3,
    APERTUS,
    FUNCTIONARY_31,
    FUNCTIONARY,
    KIMI_K3,
    SOLAR,
    HUNYUAN,
    MINICPM,
    MUSE,
)
FORMATS = {form.name: form for form in _ALL}
