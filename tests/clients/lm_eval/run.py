"""Runs a multiple-choice task of lm-evaluation-harness against a server, and holds its sums of log
probabilities against a computation from the GGUF by llama.cpp alone.

`python tests/clients/lm_eval/run.py BASE_URL MODEL GGUF --scores FILE`, in an environment with
`requirements.txt`. The computed numbers come from a file that `expected.py` wrote in the server's own.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
from gguf import GGUFReader
from lm_eval.tasks import TaskManager
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent
# The pattern of llama.cpp's "qwen2" pre-tokenizer.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_NORMAL = 1
_CLOSE = 0.05


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """The GGUF's byte-level BPE as a tokenizer that transformers loads."""
    fields = GGUFReader(gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    kinds = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind != _NORMAL]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    end = tokens[fields["tokenizer.ggml.eos_token_id"].contents()]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, bos_token=end).save_pretrained(folder)


def evaluate(base_url: str, model: str, gguf: Path, batch_size: int) -> dict[str, Any]:
    """The harness's results, samples included."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(gguf, Path(folder))
        task = (HERE / "task.yaml").read_text()
        (Path(folder) / "task.yaml").write_text(
            task.replace("questions.jsonl", str(HERE / "questions.jsonl"))
        )
        results: dict[str, Any] = lm_eval.simple_evaluate(
            model="local-completions",
            model_args={
                "model": model,
                "base_url": f"{base_url}/completions",
                "tokenizer": folder,
                "tokenizer_backend": "huggingface",
                "num_concurrent": 1,
                "max_retries": 1,
            },
            tasks=["caravan_facts"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            batch_size=batch_size,
        )
    return results


def main() -> None:
    """Print each option's numbers; end with an error if one is off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=4)
    options = parser.parse_args()
    results = evaluate(options.base_url, options.model, options.gguf, options.batch_size)
    expected = json.loads(options.scores.read_text())
    worst = 0.0
    for sample in results["samples"]["caravan_facts"]:
        question = sample["doc"]["question"]
        for choice, ((found, is_greedy),) in zip(sample["doc"]["choices"], sample["resps"], strict=True):
            right, right_greedy = expected[question][choice]
            worst = max(worst, abs(float(found) - right))
            print(f"{question} {choice}: {float(found):.4f}, computed {right:.4f}")
            if str(is_greedy) != str(right_greedy):
                raise SystemExit(f"{question} {choice}: greedy {is_greedy}, computed {right_greedy}")
    print("accuracy", results["results"]["caravan_facts"]["acc,none"], "largest difference", worst)
    if worst > _CLOSE:
        raise SystemExit("the server's numbers are not the model's")


if __name__ == "__main__":
    main()
