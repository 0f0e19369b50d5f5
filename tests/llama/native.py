"""llama.cpp's C API with nothing of ours in between, for tests of what it does by itself."""

import ctypes
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import NamedTuple

import llama_cpp
import numpy as np
from caravan.llama.model import Model
from numpy.typing import NDArray

Rows = NDArray[np.float32]
_F32 = 0
_FLASH_ATTENTION_DISABLED = 0


class Run(NamedTuple):
    """Consecutive tokens of one sequence in a batch. Logits are wanted for the last, or for all."""

    seq_id: int
    start: int
    token_ids: SequenceOf[int]
    all_logits: bool = False


class NativeContext:
    """A context whose rounding is small: float32 cells and no flash attention, which adds up in float16."""

    def __init__(self, path: Path, **changes: int) -> None:
        self.model = Model(path)
        params = llama_cpp.llama_context_default_params()
        settings = {
            "n_ctx": 256,
            "n_batch": 256,
            "n_ubatch": 256,
            "n_seq_max": 8,
            "n_threads": 1,
            "n_threads_batch": 1,
            "kv_unified": True,
            "swa_full": True,
            "type_k": _F32,
            "type_v": _F32,
            "flash_attn_type": _FLASH_ATTENTION_DISABLED,
        }
        for name, value in (settings | changes).items():
            setattr(params, name, value)
        self.pointer = llama_cpp.llama_init_from_model(self.model.pointer, params)
        assert self.pointer
        self.memory = llama_cpp.llama_get_memory(self.pointer)

    def decode(self, *runs: Run) -> int:
        """The code that `llama_decode` returns for one batch of these runs."""
        count = sum(len(run.token_ids) for run in runs)
        batch = llama_cpp.llama_batch_init(count, 0, 1)
        for run in runs:
            for offset, token_id in enumerate(run.token_ids):
                index = batch.n_tokens
                batch.token[index] = token_id
                batch.pos[index] = run.start + offset
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = run.seq_id
                batch.logits[index] = run.all_logits or offset == len(run.token_ids) - 1
                batch.n_tokens += 1
        code = int(llama_cpp.llama_decode(self.pointer, batch))
        llama_cpp.llama_batch_free(batch)
        return code

    def rows(self, count: int) -> Rows:
        """A copy of the first `count` rows of logits."""
        address = llama_cpp.llama_get_logits(self.pointer)
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (count, self.model.vocab.size)).copy()

    def compute(self, *runs: Run) -> Rows:
        """Decode, insist that it worked, and return the logits in the order of the runs."""
        assert self.decode(*runs) == 0
        return self.rows(sum(len(run.token_ids) if run.all_logits else 1 for run in runs))

    def copy(self, source: int, target: int, end: int = -1) -> None:
        """`llama_memory_seq_cp` of positions [0, end); -1 means all."""
        llama_cpp.llama_memory_seq_cp(self.memory, source, target, 0, end)

    def remove(self, seq_id: int, start: int = -1, end: int = -1) -> bool:
        """`llama_memory_seq_rm` of positions [start, end); -1 means unbounded."""
        return bool(llama_cpp.llama_memory_seq_rm(self.memory, seq_id, start, end))

    def positions(self, seq_id: int) -> tuple[int, int]:
        """First and last position in memory, (-1, -1) for an empty sequence."""
        first = llama_cpp.llama_memory_seq_pos_min(self.memory, seq_id)
        return int(first), int(llama_cpp.llama_memory_seq_pos_max(self.memory, seq_id))

    def save(self, seq_id: int, flags: int) -> bytes:
        """What `llama_state_seq_get_data_ext` writes of a sequence."""
        size = llama_cpp.llama_state_seq_get_size_ext(self.pointer, seq_id, flags)
        buffer = (ctypes.c_uint8 * size)()
        assert llama_cpp.llama_state_seq_get_data_ext(self.pointer, buffer, size, seq_id, flags) == size
        return bytes(buffer)

    def restore(self, seq_id: int, state: bytes, flags: int) -> bool:
        """Whether `llama_state_seq_set_data_ext` took what was written."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        return bool(llama_cpp.llama_state_seq_set_data_ext(self.pointer, buffer, len(state), seq_id, flags))

    def close(self) -> None:
        """Free context and model."""
        llama_cpp.llama_free(self.pointer)
        self.model.close()


def same(one: Rows, other: Rows) -> bool:
    """Whether two sets of rows are equal but for rounding; the tiny models' logits have a deviation of 6."""
    return bool(np.abs(one - other).max() < 5e-3)


Opener = Callable[..., NativeContext]


def text(seed: int, length: int) -> list[int]:
    """Random tokens."""
    return [int(token_id) for token_id in np.random.default_rng(seed).integers(0, 256, length)]


def alone(opened: Opener, architecture: str, token_ids: list[int]) -> Rows:
    """Logits after the last token, computed in one batch by a context of its own."""
    return opened(architecture).compute(Run(0, 0, token_ids))


class NativeGrammar:
    """llama.cpp's own grammar sampler; raises ValueError on what it cannot read.

    What it forbids must not be accepted, as that ends the process.
    """

    def __init__(self, model: Model, text: str) -> None:
        vocab = llama_cpp.llama_model_get_vocab(model.pointer)
        sampler = llama_cpp.llama_sampler_init_grammar(vocab, text.encode(), b"root")
        # A null pointer of ctypes is an object.
        if not sampler:
            raise ValueError("llama.cpp cannot read this grammar")
        self._sampler = sampler
        size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._data = (llama_cpp.llama_token_data * size)()
        self._view = np.frombuffer(
            self._data, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)]
        )
        self._array = llama_cpp.llama_token_data_array(self._data, size, -1, False)

    def allowed(self) -> set[int]:
        """The ids of the tokens that may come next."""
        self._view["id"] = np.arange(len(self._view))
        self._view["logit"] = 0
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(self._array))
        return set(np.flatnonzero(np.isfinite(self._view["logit"])).tolist())

    def accept(self, token_id: int) -> None:
        """Note a token that is allowed."""
        llama_cpp.llama_sampler_accept(self._sampler, token_id)

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._sampler)
