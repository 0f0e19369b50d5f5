"""all-MiniLM-L6-v2 as a GGUF, as llama.cpp's own converter writes one, which needs all of PyTorch for it."""

from pathlib import Path

import gguf
import numpy as np

from tests.real.safetensors import read_safetensors

# What the package's config.json says.
EMBED = 384
HEADS = 12
FEED_FORWARD = 1536
NUM_LAYERS = 6
CONTEXT = 512
NORM_EPSILON = 1e-12

_UNUSED = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}


def write_sentence_encoder(path: Path, weights: Path, vocabulary: Path) -> None:
    """Write the model in float32, with mean pooling."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_block_count(NUM_LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBED)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(NORM_EPSILON)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, vocabulary.read_text(encoding="utf-8").splitlines())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, NUM_LAYERS)
    for name, tensor in read_safetensors(weights).items():
        if name not in _UNUSED:
            writer.add_tensor(names.get_name(name, (".weight", ".bias")), np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, words: list[str]) -> None:
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")
    writer.add_token_list([word if word in special else _phantom(word) for word in words])
    writer.add_token_types([control if word in special else normal for word in words])
    writer.add_token_type_count(2)
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _phantom(word: str) -> str:
    """llama.cpp marks the beginning of a word, where BERT's own files mark the rest of one."""
    return word[2:] if word.startswith("##") else f"▁{word}"
