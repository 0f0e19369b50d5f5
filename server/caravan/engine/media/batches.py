"""Work on an image, as llama.cpp takes it."""

from caravan.engine.media.mapped import MappedRun
from caravan.engine.work import Work
from caravan.llama.media_batch import MediaBatch, MediaPlace


def media_batch(work: Work, run: MappedRun) -> MediaBatch:
    """Make the batch of some of a run's cells, with positions as if each cell before had one."""
    sequence = work.sequence
    assert sequence.seq_id is not None
    first = sequence.num_computed_tokens - run.start
    cells = slice(first, first + work.num_tokens)
    positions = run.positions[:, cells].copy()
    # The fourth part, where there is one, tells no place in the text.
    positions[:3] += run.start
    return MediaBatch(
        sequence.seq_id,
        MediaPlace(run.start, run.end - run.start, run.num_positions),
        run.embeddings[cells],
        positions,
        is_causal=run.is_causal,
        wants_logits=work.completes,
    )
