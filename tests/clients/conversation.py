"""What the scripts of this folder share: each is a conversation in steps with a server.

`python SCRIPT BASE_URL MODEL` runs the functions of a script whose names begin with `check_`, in order, and
prints a line for each: its outcome, its name, and why it was skipped. The process fails if one of them does.
"""

import json
import os
import sys
import traceback
import urllib.request
from collections.abc import Mapping
from typing import Any

# Some clients look for a key, whatever the server wants.
os.environ.setdefault("OPENAI_API_KEY", "none")

BASE_URL, MODEL = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")

QUESTION = "What is the capital of France?"
ANSWER = "Paris"
WEATHER = "What is the weather in Paris?"
REPORT = "21 degrees and sunny"
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PERSON = "Invent a person."
PERSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


class SkippedError(Exception):
    """The step has nothing to ask here; the message says why."""


def needs(route: str) -> None:
    """Raise SkippedError unless the server has `/v1/ROUTE`."""
    address = BASE_URL.removesuffix("/v1")
    with urllib.request.urlopen(f"{address}/openapi.json") as answer:
        if f"/v1/{route}" not in json.load(answer)["paths"]:
            raise SkippedError(f"the server has no /v1/{route}")


def run(steps: Mapping[str, object]) -> None:
    """Run a script's steps; `steps` are its global names."""
    failed = False
    for name, step in steps.items():
        if not name.startswith("check_") or not callable(step):
            continue
        label = name.removeprefix("check_").replace("_", " ")
        try:
            step()
        except SkippedError as reason:
            print(f"skipped {label}: {reason}")
        except BaseException:
            failed = True
            print(f"failed {label}")
            traceback.print_exc()
        else:
            print(f"ok {label}")
        sys.stdout.flush()
    sys.exit(failed)
