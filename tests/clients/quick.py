"""The clients of `make test-clients`, which install in seconds."""

from collections.abc import Mapping

from tests.clients.conversation import REPORT, WEATHER
from tests.clients.programs import Program
from tests.web.chat_models import hermes


def _program(
    name: str, environment: str, package: str, module: str, turns: Mapping[str, str] | None = None
) -> Program:
    return Program(name=name, environment=environment, package=package, module=module, turns=turns)


_SMOLAGENTS = {
    WEATHER: hermes("get_weather", '{"city": "Paris"}'),
    REPORT: hermes("final_answer", '{"answer": "It is 21 degrees."}'),
    "Compute how warm Rome is.": 'I ask.\n<code>\nfinal_answer(get_weather("Rome"))\n</code>',
}


# Each sends images to a model that sees, beside what it does with the model that ships.
SEEING = (
    _program("openai (Python)", "openai-3", "openai", "images_openai"),
    _program("openai (Python), older", "openai-2", "openai", "images_openai"),
    _program("anthropic (Python)", "anthropic", "anthropic", "images_anthropic"),
    _program("ollama (Python)", "ollama", "ollama", "images_ollama"),
)
PROGRAMS = (
    _program("openai (Python)", "openai-3", "openai", "openai_python"),
    _program("openai (Python), older", "openai-2", "openai", "openai_python"),
    _program("openai (Node)", "node", "openai", "conversation"),
    _program("LangChain, langchain-openai", "openai-3", "langchain-openai", "langchain"),
    _program("LlamaIndex, llms-openai-like", "openai-2", "llama-index-llms-openai-like", "llama_index"),
    _program("LiteLLM", "openai-2", "litellm", "litellm"),
    _program("instructor", "openai-2", "instructor", "instructor"),
    _program("pydantic-ai", "openai-3", "pydantic-ai-slim", "pydantic_ai"),
    _program("anthropic (Python)", "anthropic", "anthropic", "anthropic_python"),
    _program("llm, the command", "openai-3", "llm", "llm_command"),
    _program("ollama (Python)", "ollama", "ollama", "ollama_python"),
    _program("ollama (Node)", "node", "ollama", "ollama"),
    _program("AI SDK (Node), @ai-sdk/openai-compatible and @ai-sdk/openai", "node", "ai", "ai_sdk"),
    _program("LangChain (Node), @langchain/openai", "node", "@langchain/openai", "langchain_js"),
    _program("OpenAI's Agents SDK", "openai-agents", "openai-agents", "openai_agents"),
    _program("Haystack", "haystack", "haystack-ai", "haystack"),
    _program("smolagents", "smolagents", "smolagents", "smolagents", _SMOLAGENTS),
    _program("outlines", "outlines", "outlines", "outlines"),
    _program("guidance", "guidance", "guidance", "guidance"),
)
