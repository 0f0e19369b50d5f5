"""The engine's promises on the model that ships: chats at once, warm, and preempted, each as if alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from caravan.chat.rendering.template import ChatTemplate
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.llama.model import Model
from caravan.models.resident import model_path

from tests.engine.real_harness import CONTEXT_SIZE, RealHarness, Workload

pytestmark = pytest.mark.usefixtures("exact_numbers")


def write_dequantized(source: Path, target: Path) -> None:
    """Copy a GGUF with all weights in float32.

    Kernels for quantized weights round the activations too, and a token computed alone may round otherwise
    than in a large batch, which moves logits by some hundredths. In float32 texts can be compared exactly.
    """
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            sub_type = field.types[1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def exact_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that ships, in float32."""
    path = tmp_path_factory.mktemp("resident") / "float32.gguf"
    write_dequantized(model_path(), path)
    return path


class Chats(Workload):
    """Questions that the model knows, on a conversation that they share, and stories that are drawn."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(path, seed)
        model = Model(model_path(), vocab_only=True)
        template = ChatTemplate(model.chat_template() or "", bos_token="", eos_token="")
        questions = json.loads((model_path().parent / "questions.json").read_text())
        opening = [
            {"role": "user", "content": "Hello!"},
            {"role": "assistant", "content": "Hello! How can I help you?"},
        ]
        texts = [template.render([*opening, {"role": "user", "content": q["question"]}]) for q in questions]
        texts += [template.render([{"role": "user", "content": "Tell me a short story."}])] * 16
        self._prompts = [model.vocab.tokenize(t, add_special=True, parse_special=True) for t in texts]
        model.close()

    def prompt(self) -> list[int]:
        """A chat, as tokens."""
        return self.rng.choice(self._prompts)

    def params(self, longest: int) -> SamplingParams:
        """Greedy, or drawn with penalties; always seeded. Long ones go on after the end of the answer."""
        return SamplingParams(
            temperature=self.rng.choice([0.0, 0.8]),
            repeat_penalty=self.rng.choice([1.0, 1.1]),
            seed=self.rng.randrange(1000),
            max_tokens=longest,
            ignore_eos=longest > 40,
        )


@pytest.fixture
def chats(exact_model: Path) -> Iterator[Chats]:
    workload = Chats(exact_model, 1)
    yield workload
    workload.close()


def serve(path: Path, requests: list[GenerationRequest], **sizes: int) -> RealHarness:
    """An engine that has answered all requests, arriving together."""
    harness = RealHarness(path, **sizes)
    harness.run(requests)
    harness.close()
    return harness


def test_chats_at_once_equal_each_alone(chats: Chats, exact_model: Path) -> None:
    requests = chats.mixed(24, longest=30)
    harness = serve(exact_model, requests, num_cells=4096, max_sequences=32, max_running=32)
    assert harness.texts() == chats.expected
    assert harness.engine.stats().num_cached_tokens > 0


def test_warm_chats_equal_cold_ones(chats: Chats, exact_model: Path) -> None:
    requests = chats.mixed(12, longest=30)
    harness = RealHarness(exact_model)
    for request in requests:
        harness.run([request])
        harness.run([chats.repeat(request)])
    harness.close()
    assert harness.texts() == chats.expected


def test_preempted_chats_equal_undisturbed_ones(chats: Chats, exact_model: Path) -> None:
    requests = chats.mixed(24, longest=60)
    harness = serve(exact_model, requests, num_cells=CONTEXT_SIZE, max_running=16)
    assert harness.texts() == chats.expected
    assert harness.engine.stats().num_preemptions > 0
