"""What the OpenAPI document says of all routes: their groups, a line about each, and how a key is sent."""

import re
from typing import Any

# In the order in which a reader should meet them.
TAGS = {
    "chat": "Conversations, as OpenAI's clients have them",
    "responses": "OpenAI's Responses API",
    "conversations": "Items that are stored together, for responses",
    "files": "What is uploaded for batches, and what they write",
    "batches": "Files of requests, answered beneath everything else",
    "messages": "Anthropic's Messages API",
    "completions": "Texts that are continued",
    "embeddings": "Texts as vectors",
    "rank": "Documents by how well they meet a query",
    "audio": "Speech into text",
    "decisions": "Questions with given answers, and how likely each is",
    "decoding": "How an answer is drawn: what each stage leaves of the candidates",
    "models": "What there is, and what it can do",
    "tokens": "Texts and conversations as tokens",
    "ollama": "Ollama's own API",
    "llama.cpp": "The own routes of llama.cpp's server",
    "operations": "For those who run the server",
    "administration": "For administrators",
}
_END_OF_CLAUSE = re.compile(r"[.;:,](?:\s|$)")


def add_overview(document: dict[str, Any]) -> None:
    """Put it into `document`, which is changed."""
    document["tags"] = [{"name": name, "description": about} for name, about in TAGS.items()]
    # Where there are keys; without one, nobody is asked.
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI's are the names of functions.
            operation["summary"] = _END_OF_CLAUSE.split(operation["description"], maxsplit=1)[0]
