"""The first prompt of a new build: some hundred tokens through small quantized models, several ways.

Runs as a process of its own, because a bad build may die in it. Each model is decoded by the kernels that
would serve it (AMX, repacked weights, a GPU) and by the plain CPU ones, and the logits must agree. A short
prompt would not do: the special kernels start at a few rows. The result is one line of JSON on stdout.
"""

import argparse
import ctypes
import enum
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from caravan.llama import library
from numpy.typing import NDArray

LAYERS = 2
EMBED = 256  # K-quants come in blocks of 256
HEADS = 4
KV_HEADS = 2
FEED_FORWARD = 512
VOCABULARY = 512

PROMPT_TOKENS = 300
ANSWER_TOKENS = 8

# Activations are rounded to 8 bits, so the least difference upstream moves the logits by 1 to 3 percent; the
# same rounding costs as much against unquantized weights. A wrong kernel is off by the whole.
TOLERANCE = 0.1

# Q4_K_M holds Q4_K and Q6_K tensors, as most published files do.
QUANTIZATIONS = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}

Logits = NDArray[np.float32]


class CheckError(Exception):
    """The build computes something else than it should, or cannot compute at all."""


class GpuError(CheckError):
    """The same, where the CPU's kernels are not to blame."""


class Route(enum.Enum):
    """Where the weights go. PLAIN keeps to the CPU kernels that read weights as the file has them."""

    PLAIN = "plain"
    CPU = "CPU"
    GPU = "GPU"


def write_model(path: Path) -> None:
    """Write a llama of random weights, unquantized, that takes token ids without any text."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    for name, shape in _tensors().items():
        if len(shape) == 1:
            data = np.ones(shape, np.float32)
        else:
            data = random.normal(0, shape[1] ** -0.5, shape).astype(np.float32)
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors() -> dict[str, tuple[int, ...]]:
    key_value = EMBED // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, EMBED),
        "output_norm.weight": (EMBED,),
        "output.weight": (VOCABULARY, EMBED),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (EMBED,),
            f"blk.{layer}.attn_q.weight": (EMBED, EMBED),
            f"blk.{layer}.attn_k.weight": (key_value, EMBED),
            f"blk.{layer}.attn_v.weight": (key_value, EMBED),
            f"blk.{layer}.attn_output.weight": (EMBED, EMBED),
            f"blk.{layer}.ffn_norm.weight": (EMBED,),
            f"blk.{layer}.ffn_gate.weight": (FEED_FORWARD, EMBED),
            f"blk.{layer}.ffn_up.weight": (FEED_FORWARD, EMBED),
            f"blk.{layer}.ffn_down.weight": (EMBED, FEED_FORWARD),
        }
    return shapes


def quantize(source: Path, target: Path, file_type: int) -> None:
    """Let llama.cpp itself quantize the file. Raises CheckError."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) != 0:
        raise CheckError(f"llama.cpp could not write {target.name}")


def compute_logits(path: Path, route: Route) -> Logits:
    """Logits after the prompt in one batch and after each further token, [1 + ANSWER_TOKENS, VOCABULARY]."""
    model_params = llama_cpp.llama_model_default_params()
    model_params.use_extra_bufts = route is not Route.PLAIN
    model_params.n_gpu_layers = -1 if route is Route.GPU else 0
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_params)
    if not model:
        raise CheckError(f"llama.cpp could not load {path.name}")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    # AMX is set up thread by thread, so one thread would not show every fault.
    params.n_threads = params.n_threads_batch = min(4, max(2, os.cpu_count() or 2))
    params.op_offload = route is Route.GPU
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise CheckError("llama.cpp could not make a context")
    tokens = np.random.default_rng(2).integers(0, VOCABULARY, PROMPT_TOKENS + ANSWER_TOKENS)
    rows = [_decode(context, tokens[:PROMPT_TOKENS])]
    rows += [_decode(context, tokens[index : index + 1]) for index in range(PROMPT_TOKENS, len(tokens))]
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return np.stack(rows)


def _decode(context: int, tokens: NDArray[np.int64]) -> Logits:
    ids = (llama_cpp.llama_token * len(tokens))(*tokens.tolist())
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(ids, len(tokens))) != 0:
        raise CheckError("llama_decode failed")
    address = llama_cpp.llama_get_logits_ith(context, -1)
    values = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(values, (VOCABULARY,)).copy()


def compare(served: Logits, plain: Logits) -> float:
    """The largest relative difference of a row; infinite where a logit is no number."""
    if not (np.isfinite(served).all() and np.isfinite(plain).all()):
        return float("inf")
    differences = np.linalg.norm(served - plain, axis=1) / np.linalg.norm(plain, axis=1)
    return float(differences.max())


def check(*, gpu: bool) -> dict[str, float]:
    """Relative difference of each quantization and route. Raises CheckError or GpuError."""
    if gpu and not library.has_gpu():
        raise GpuError("this build reaches no GPU: no device here, or no driver")
    differences: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_quantized(Path(folder))
        for route in (Route.CPU, Route.GPU) if gpu else (Route.CPU,):
            for path in paths:
                name = f"{path.stem} on {route.value}"
                difference = compare(compute_logits(path, route), compute_logits(path, Route.PLAIN))
                if not difference < TOLERANCE:
                    failure = GpuError if route is Route.GPU else CheckError
                    raise failure(f"logits of {name} are off by {difference:.1%}")
                differences[name] = difference
    return differences


def write_quantized(folder: Path) -> list[Path]:
    """The same weights in each quantization. Raises CheckError."""
    original = folder / "F32.gguf"
    write_model(original)
    paths = []
    for name, file_type in QUANTIZATIONS.items():
        paths.append(folder / f"{name}.gguf")
        quantize(original, paths[-1], file_type)
    return paths


def main() -> int:
    """Exit status 0 means that this build may be trusted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="the build is for a GPU and must reach one")
    arguments = parser.parse_args()
    library.load_modules()
    llama_cpp.llama_backend_init()
    started = time.monotonic()
    try:
        differences = check(gpu=arguments.gpu)
    except CheckError as failure:
        print(json.dumps({"error": str(failure), "gpu": isinstance(failure, GpuError)}))
        return 1
    report = {
        "library": llama_cpp.__file__,
        "system": llama_cpp.llama_print_system_info().decode(),
        "differences": differences,
        "seconds": round(time.monotonic() - started, 2),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
