"""Rows of logits to try samplers on: nasty ones, and those of the model that ships."""

from typing import Any

import numpy as np
from caravan.engine.params import SamplingParams
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from caravan.models import resident
from numpy.typing import NDArray

Logits = NDArray[np.float32]
NEUTRAL: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 7}
PROMPTS = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nTell me a story about a fox.<|im_end|>\n<|im_start|>assistant\nOnce",
    "Once upon a time, there was a",
    "def add(a, b):\n    return",
    "1, 2, 3, 4,",
    "x",
)


def params(**changes: object) -> SamplingParams:
    """Everything off but what is named."""
    settings: dict[str, Any] = {**NEUTRAL, **changes}
    return SamplingParams(**settings)


def resident_rows() -> list[Logits]:
    """Logits of the resident model after some prompts: peaked, undecided, and in between."""
    model = Model(resident.model_path())
    context = Context(model, num_cells=256, batch_size=256, max_sequences=1, num_threads=1)
    rows = []
    for prompt in PROMPTS:
        batch = Batch(256)
        token_ids = model.vocab.tokenize(prompt, add_special=False, parse_special=True)
        batch.add(0, 0, token_ids, wants_logits=True)
        context.clear()
        assert context.decode(batch) is DecodeStatus.OK
        rows.append(context.logits()[0].copy())
    context.close()
    model.close()
    return rows


def adversarial_rows() -> dict[str, Logits]:
    """One row of each kind that has broken a sampler somewhere."""
    rng = np.random.default_rng(3)
    plain = rng.normal(0, 3, 500)
    gaps = plain.copy()
    gaps[rng.random(500) < 0.7] = -np.inf
    one = np.full(300, -np.inf)
    one[137] = -4.0
    twins = rng.normal(-5, 1, 400)
    twins[[11, 390]] = 9.0
    # The largest stand in few columns of any table that a search by blocks could make of the row.
    column = rng.normal(0, 1, 64 * 300)
    column[::300] += 20
    column[7:600] += 18
    rows = {
        "one candidate": one,
        "two alike at the top": twins,
        "flat": np.zeros(256),
        "flat and far from zero": np.full(100, 1000.0),
        "few levels": rng.integers(0, 4, 600).astype(float),
        "few levels, large": rng.integers(0, 5, 20_000).astype(float),
        "peaked": np.where(np.arange(200) == 50, 60.0, plain[:200]),
        "almost flat": rng.normal(0, 1e-3, 300),
        "banned at random": gaps,
        "descending": -0.05 * np.arange(400.0),
        "negative": plain - 100,
        "wide": rng.normal(0, 40, 1000),
        "one token": np.array([2.5]),
        "two tokens": np.array([-1.0, 1.5]),
        "crowded columns": column,
    }
    return {name: row.astype(np.float32) for name, row in rows.items()}
