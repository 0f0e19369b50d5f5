"""Two web sides, one book: a quota is a quota, and what one has stored the other has."""

import collections
from pathlib import Path
from typing import Any

import httpx
from caravan.auth import keys_file

from tests.conftest import TinyModels
from tests.ray.conftest import MODEL, Deploy

SAY = [{"role": "user", "content": "Well?"}]
NUM_REQUESTS = 24
QUOTA = 7


def ask(client: httpx.Client, address: str, token: str, path: str = "chat/completions", **fields: Any) -> Any:  # noqa: ANN401
    """An answer, by a connection of its own: Ray's proxy hands it to either ingress."""
    headers = {"Authorization": f"Bearer {token}"}
    return client.post(f"{address}/v1/{path}", json={"model": MODEL, **fields}, headers=headers)


def test_a_quota_holds_once_for_all_ingresses(
    deploy: Deploy, tmp_path: Path, tiny_models: TinyModels
) -> None:
    path = tmp_path / "keys.json"
    few = keys_file.add(path, name="few", requests_per_minute=QUOTA)
    little = keys_file.add(path, name="little", tokens_per_minute=200)
    free = keys_file.add(path, name="free", role="admin")
    models = [{"path": str(tiny_models["qwen2"]), "id": "other"}]
    cluster = deploy({"keys_file": str(path), "models": models}, ingresses=2)
    with httpx.Client(timeout=60) as client:
        at = cluster.address

        def answers(token: str, **fields: Any) -> list[httpx.Response]:  # noqa: ANN401
            return [ask(client, at, token, messages=SAY, max_tokens=4, **fields) for _ in range(NUM_REQUESTS)]

        found = answers(few)
        counts = collections.Counter(answer.status_code for answer in found)
        # The minute goes on meanwhile: at most a few more than the burst.
        assert QUOTA <= counts[200] <= QUOTA + 3
        assert counts[200] + counts[429] == NUM_REQUESTS
        assert found[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert int(found[-1].headers["retry-after"]) >= 1
        assert found[0].headers["x-ratelimit-limit-requests"] == str(QUOTA)
        used = [
            answer.json()["usage"]["total_tokens"] for answer in answers(little) if answer.status_code == 200
        ]
        assert sum(used[:-1]) <= 260
        assert all(answer.status_code == 200 for answer in answers(free))
        check_both_know_what_is_stored(client, at, free)
        check_there_are_two(client, at, free)


def check_both_know_what_is_stored(client: httpx.Client, at: str, token: str) -> None:
    answer = ask(client, at, token, "responses", input="Well?", max_output_tokens=16)
    assert answer.status_code == 200, answer.text
    kept = answer.json()
    headers = {"Authorization": f"Bearer {token}"}
    found = [client.get(f"{at}/v1/responses/{kept['id']}", headers=headers) for _ in range(12)]
    assert {answer.status_code for answer in found} == {200}
    follow = ask(
        client, at, token, "responses", input="So?", max_output_tokens=16, previous_response_id=kept["id"]
    )
    assert follow.status_code == 200
    missing = client.get(f"{at}/v1/responses/resp_none", headers=headers)
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "response_not_found"


def check_there_are_two(client: httpx.Client, at: str, token: str) -> None:
    """Two models, each with engines of its own, and two ingresses, each with metrics of its own."""
    said: dict[str, Any] = {"messages": SAY, "temperature": 0, "max_tokens": 8}
    texts = {
        model: ask(client, at, token, model=model, **said).json()["choices"][0]["message"]["content"]
        for model in (MODEL, "other")
    }
    assert texts[MODEL] != texts["other"]
    headers = {"Authorization": f"Bearer {token}"}
    counts = [num_answered(client.get(f"{at}/metrics", headers=headers).text) for _ in range(24)]
    # One alone would only ever count on.
    assert counts != sorted(counts)


def num_answered(metrics: str) -> float:
    """How many requests an ingress has answered, by its own metrics."""
    lines = [line for line in metrics.splitlines() if line.startswith("caravan_http_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
