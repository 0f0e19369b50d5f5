"""Single requests to a server, beside those that are measured."""

import json
import urllib.error
import urllib.request

from tests.bench.plan import Body
from tests.bench.servers import Server, ServerError

REFUSED = 400


def unstreamed(body: Body) -> Body:
    return {name: value for name, value in body.items() if name not in ("stream", "stream_options")}


def short(body: Body) -> Body:
    """A request that warms a server up without leaving anything of the workload in its caches."""
    short = unstreamed(body)
    if "messages" in body:
        return short | {"messages": [{"role": "user", "content": "warm up"}], "max_tokens": 4}
    if "documents" in body:
        return short | {"query": "warm up", "documents": ["warm up"]}
    if "questions" in body:
        return short | {"input": "warm up"}
    return short | {"prompt": "warm up", "max_tokens": 4}


def post(server: Server, path: str, body: Body) -> int:
    """Send a request and throw its answer away; returns the status. Raises ServerError."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        if error.code == REFUSED:
            return REFUSED
        raise ServerError(f"a first request failed with {error.code}: {error.read()[:300]!r}") from error
    except OSError as error:
        raise ServerError(f"a first request failed: {error}") from error
