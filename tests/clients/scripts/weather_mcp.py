"""A server of the Model Context Protocol with one tool, over its standard input and output."""

import json
import sys
from typing import Any

from tests.clients.conversation import REPORT, WEATHER_TOOL


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """What it says to a request."""
    function = WEATHER_TOOL["function"]
    match method:
        case "initialize":
            information = {"name": "weather", "version": "1"}
            version = params["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": information}
        case "tools/list":
            shown = {name: function[name] for name in ("name", "description")}
            return {"tools": [{**shown, "inputSchema": function["parameters"]}]}
        case "tools/call":
            return {"content": [{"type": "text", "text": REPORT}]}
    return {}


if __name__ == "__main__":
    for request in map(json.loads, sys.stdin):
        if "id" in request:
            result = answer(request["method"], request.get("params", {}))
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
