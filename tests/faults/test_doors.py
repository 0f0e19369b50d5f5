"""Keys that come and go under a running server, what one key could learn of another, and hidden requests."""

import json
import sys
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import server_process
from tests.waiting import PATIENCE
from tests.web.uvicorn.framings import FRAMINGS, HIDDEN
from tests.web.uvicorn.raw import connection, read_answer, read_to_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

CANARY = "xanthorhea"
CHAT = "/v1/chat/completions"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_keys_that_come_and_go_are_nobody_elses_business(
    tiny_options: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    with server_process(*tiny_options, "--data-dir", str(tmp_path)) as server:

        def status(headers: dict[str, str] | None = None) -> int:
            return httpx.get(f"{server.address}/v1/models", headers=headers).status_code

        assert status() == 200, "there has never been a key"
        staying = keys_file.add(file, name="staying")
        with bystanders(server.address, MODEL, keys=(staying,)) as crowd:
            for number in range(10):
                token = keys_file.add(file, name="passing")
                assert status(bearer(token)) == 200, number
                assert status() == 401
                keys_file.revoke(file, "passing")
                assert status(bearer(token)) == 401
            crowd.wait_for(4)
        crowd.seen.assert_unharmed()
        keys_file.revoke(file, "staying")
        assert (status(), status(bearer(staying))) == (401, 401)
        file.unlink()
        assert (status(), status(bearer(staying))) == (401, 401)
        assert "nobody may come in" in server.output
    with pytest.raises(AssertionError, match="--no-auth"), server_process("--data-dir", str(tmp_path)):
        pass
    with server_process(*tiny_options, "--data-dir", str(tmp_path), "--no-auth") as server:
        assert httpx.get(f"{server.address}/v1/models").status_code == 200


def test_a_key_learns_nothing_of_another(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    """Its words are in no answer, no list and no series; its prefixes save nobody work."""
    file = tmp_path / "keys.json"
    alice, bob = keys_file.add(file, name="alice"), keys_file.add(file, name="bob", models=[MODEL])
    system = f"{CANARY} is the secret word, which is for one reader alone and for nobody else at all."
    body = {"model": MODEL, "input": f"Say {CANARY}.", "instructions": system, "max_output_tokens": 8}
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Say {CANARY}."}]
    chat = {"model": MODEL, "max_tokens": 8, "messages": messages}
    talk = {
        "items": [{"role": "user", "content": f"Say {CANARY}.", "id": "msg_1"}],
        "metadata": {"a": CANARY},
    }

    with server_process(*tiny_options, "--data-dir", str(tmp_path)) as server:

        def ask(token: str, method: str, path: str, body: object = None) -> httpx.Response:
            headers = bearer(token)
            return httpx.request(method, server.address + path, json=body, headers=headers, timeout=PATIENCE)

        def cached(token: str) -> int:
            usage = ask(token, "POST", CHAT, chat).json()["usage"]
            return int(usage["prompt_tokens_details"]["cached_tokens"])

        made = ask(alice, "POST", "/v1/responses", {**body, f"{CANARY}_field": 1}).json()["id"]
        item = ask(alice, "GET", f"/v1/responses/{made}/input_items").json()["data"][0]["id"]
        conversation = ask(alice, "POST", "/v1/conversations", talk).json()["id"]
        cached(alice)
        assert cached(alice) > 0
        chat_id = ask(alice, "POST", CHAT, {**chat, "store": True, "metadata": {"a": CANARY}}).json()["id"]
        assert ask(alice, "GET", f"{CHAT}/{chat_id}").json()["metadata"] == {"a": CANARY}
        assert cached(bob) == 0
        ask(alice, "POST", CHAT, {**chat, "model": CANARY})
        ask(alice, "POST", "/completion", {"prompt": CANARY, "n_predict": 4, "stop": [CANARY]})
        ask(alice, "GET", f"/{CANARY}%0a2026%20INFO%20x")
        line = {"custom_id": CANARY, "method": "POST", "url": CHAT, "body": chat}
        upload = {"file": (f"{CANARY}.jsonl", json.dumps(line).encode())}
        uploaded = httpx.post(
            f"{server.address}/v1/files", files=upload, data={"purpose": "batch"}, headers=bearer(alice)
        ).json()["id"]
        batch = {"input_file_id": uploaded, "endpoint": CHAT, "completion_window": "24h"}
        begun = ask(alice, "POST", "/v1/batches", {**batch, "metadata": {"a": CANARY}}).json()["id"]
        keys_file.revoke(file, "alice")
        second = keys_file.add(file, name="alice")

        for token in (bob, second):
            refused = [ask(token, method, f"/v1/responses/{made}") for method in ("GET", "DELETE")]
            refused.append(ask(token, "POST", f"/v1/responses/{made}/cancel"))
            refused.append(ask(token, "GET", f"/v1/responses/{made}/input_items"))
            kept = [f"{CHAT}/{chat_id}", f"/v1/conversations/{conversation}"]
            items = [f"{kept[0]}/messages", f"{kept[1]}/items", f"{kept[1]}/items/msg_1"]
            refused += [ask(token, "GET", path) for path in (*kept, *items)]
            refused += [ask(token, "POST", path, {"metadata": {}}) for path in kept]
            refused += [ask(token, "DELETE", path) for path in (*kept, items[-1])]
            within = {"model": MODEL, "input": "And?", "conversation": conversation}
            refused.append(ask(token, "POST", "/v1/responses", within))
            assert [answer.status_code for answer in refused] == [404] * 15
            on_it = {"model": MODEL, "input": "And?", "previous_response_id": made}
            references = [{"type": "item_reference", "id": name} for name in (item, "msg_1")]
            by_item = [{"model": MODEL, "input": [reference]} for reference in references]
            refused += [ask(token, "POST", "/v1/responses", wrong) for wrong in (on_it, *by_item)]
            assert [answer.status_code for answer in refused[15:]] == [400] * 3
            in_batches = [f"/v1/files/{uploaded}", f"/v1/files/{uploaded}/content", f"/v1/batches/{begun}"]
            hidden = [ask(token, "GET", path) for path in in_batches]
            hidden.append(ask(token, "DELETE", in_batches[0]))
            hidden.append(ask(token, "POST", f"{in_batches[2]}/cancel"))
            assert [answer.status_code for answer in hidden] == [404] * 5
            hidden.append(ask(token, "POST", "/v1/batches", batch))
            assert hidden[-1].status_code == 400
            refused += hidden
            shown = (
                "/v1/files",
                "/v1/batches",
                "/metrics",
                "/v1/models",
                "/status",
                "/props",
                "/slots",
                CHAT,
            )
            seen = [*refused, *(ask(token, "GET", path) for path in shown)]
            seen.append(ask(token, "GET", f"/v1/models/{MODEL}"))
            assert [answer.request.url.path for answer in seen if CANARY in answer.text] == []
        assert cached(second) == 0, "a new key of the old name"
        assert not any(line.startswith("2026 INFO x") for line in server.output.splitlines())


def test_hidden_requests_are_served_to_nobody(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            for name, sent in FRAMINGS.items():
                with connection(server.address) as opened:
                    opened.sendall(sent + HIDDEN.replace(b"/v1/completions", b"/hidden"))
                    assert read_answer(opened).status >= 400, name
                    assert read_to_end(opened) == b"", name
            crowd.wait_for(4)
        crowd.seen.assert_unharmed()
        assert "/hidden" not in server.output
        assert "Traceback" not in server.output


def test_pages_and_names_of_elsewhere_are_refused(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    """As browsers send a form of another site, and one of a name that was made to point here."""
    body = json.dumps({"model": MODEL, "prompt": "Hi", "max_tokens": 1})
    options = ("--data-dir", str(tmp_path), "--allowed-hosts", "llm.example.org")
    with server_process(*tiny_options, *options) as server:

        def status(**headers: str) -> int:
            given = {"content-type": "text/plain", **headers}
            return httpx.post(f"{server.address}/v1/completions", content=body, headers=given).status_code

        assert status(origin="https://evil.example") == 403
        assert status(host="evil.example", origin="http://evil.example") == 403
        assert [status(host=host) for host in ("localhost", "llm.example.org:80")] == [200, 200]
        assert status() == 200
