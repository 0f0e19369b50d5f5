"""Images by Ollama's own client for Python, to a model that sees."""

import tempfile
from pathlib import Path

import ollama

from tests.clients.conversation import BASE_URL, MODEL, run
from tests.clients.picture import PNG

client = ollama.Client(host=BASE_URL.removesuffix("/v1"))


def check_images() -> None:
    asked = {"role": "user", "content": "What is it?"}
    bare = client.chat(MODEL, [asked], options={"num_predict": 4})
    seen = client.chat(MODEL, [{**asked, "images": [PNG, PNG]}], options={"num_predict": 4})
    assert bare.prompt_eval_count
    assert seen.prompt_eval_count
    assert seen.prompt_eval_count > bare.prompt_eval_count + 2


def check_images_by_file() -> None:
    """The client reads it, and not the server."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "red.png"
        path.write_bytes(PNG)
        assert client.generate(MODEL, "What is it?", images=[path], options={"num_predict": 4}).done


def check_image_capability() -> None:
    assert "vision" in (client.show(MODEL).capabilities or [])


if __name__ == "__main__":
    run(globals())
