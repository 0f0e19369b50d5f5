"""Write the trained network, its tokenizer and its chat template as one quantized GGUF file."""

import argparse
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from gguf.quants import quantize
from numpy.typing import NDArray

from deploy.resident.model import LanguageModel, ModelConfig
from deploy.resident.render import (
    CONTROL_TOKENS,
    END_OF_TEXT,
    FIM_MIDDLE,
    FIM_PREFIX,
    FIM_SUFFIX,
    TEMPLATE,
    TURN_END,
    VISIBLE_TOKENS,
)

DESCRIPTION = "A smoke and teaching model: it shows that a server works, and knows next to nothing."

BLOCK_NAMES = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def gguf_name(name: str) -> str:
    """The name llama.cpp gives to a parameter of ours."""
    path = name.removesuffix(".weight")
    if path == "embedding":
        return "token_embd.weight"
    if path == "norm":
        return "output_norm.weight"
    _, index, rest = path.split(".", 2)
    return f"blk.{index}.{BLOCK_NAMES[rest]}.weight"


def add_metadata(writer: GGUFWriter, config: ModelConfig) -> None:
    writer.add_name("Caravan Resident")
    writer.add_basename("caravan-resident")
    writer.add_description(DESCRIPTION)
    writer.add_author("The Caravan project")
    writer.add_languages(["en"])
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)


def _types(tokens: list[str]) -> list[TokenType]:
    kinds = dict.fromkeys(CONTROL_TOKENS, TokenType.CONTROL)
    kinds |= dict.fromkeys(VISIBLE_TOKENS, TokenType.USER_DEFINED)
    return [kinds.get(token, TokenType.NORMAL) for token in tokens]


def add_tokenizer(writer: GGUFWriter, path: Path) -> None:
    saved = json.loads(path.read_text(encoding="utf-8"))
    ids = {**saved["model"]["vocab"], **{token["content"]: token["id"] for token in saved["added_tokens"]}}
    tokens = sorted(ids, key=lambda token: ids[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(_types(tokens))
    writer.add_token_merges([" ".join(merge) for merge in saved["model"]["merges"]])
    writer.add_eos_token_id(ids[TURN_END])
    writer.add_eot_token_id(ids[TURN_END])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", ids[FIM_PREFIX])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", ids[FIM_SUFFIX])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", ids[FIM_MIDDLE])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def add_tensor(
    writer: GGUFWriter, name: str, values: NDArray[np.float32], kind: GGMLQuantizationType
) -> None:
    """Norms stay in full precision; matrices are quantized."""
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)


def export(model: LanguageModel, tokenizer: Path, output: Path, kind: GGMLQuantizationType) -> None:
    writer = GGUFWriter(output, "qwen3")
    add_metadata(writer, model.config)
    add_tokenizer(writer, tokenizer)
    for name, weights in model.state_dict().items():
        add_tensor(writer, gguf_name(name), weights.float().numpy(), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runs/resident/model.pt"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/resident/tokenizer.json"))
    parser.add_argument("--output", type=Path, default=Path("server/caravan/models/resident/resident.gguf"))
    parser.add_argument("--type", choices=("Q8_0", "F16", "F32"), default="Q8_0")
    options = parser.parse_args()
    export(
        LanguageModel.load(options.model),
        options.tokenizer,
        options.output,
        GGMLQuantizationType[options.type],
    )
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
