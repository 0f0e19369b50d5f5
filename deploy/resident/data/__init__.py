"""Generators of training samples, one module per skill, and the mixture they are drawn in."""

from random import Random

from deploy.resident.data import arithmetic, conversation, infill, stories, tool_use, writing
from deploy.resident.data.samples import Generator, Sample

# Shares of samples, not of tokens: a chat with tools is several times as long as a question.
MIXTURE: tuple[tuple[Generator, float], ...] = (
    (conversation.questions, 24),
    (conversation.questions_thinking, 6),
    (conversation.small_talk, 4),
    (conversation.unknown, 2.5),
    (conversation.persona, 2),
    (conversation.one_word, 2),
    (conversation.style, 1.5),
    (conversation.repeat, 6),
    (conversation.turns, 2.5),
    (conversation.long_turns, 0.25),
    (arithmetic.sums, 18),
    (arithmetic.sums_thinking, 5),
    (arithmetic.word_problems, 2.5),
    (arithmetic.comparisons, 1),
    (arithmetic.counting, 1.5),
    (stories.stories, 4),
    (stories.long_stories, 0.2),
    (stories.plain_stories, 1.5),
    (writing.json_objects, 6),
    (writing.json_invented, 0.7),
    (writing.json_lists, 1.5),
    (writing.lists, 2),
    (writing.poems, 0.7),
    (writing.reading, 1),
    (tool_use.one_call, 12),
    (tool_use.two_calls, 2.5),
    (tool_use.same_tool_twice, 2),
    (tool_use.after_result, 3),
    (tool_use.after_two_results, 1),
    (tool_use.no_call, 5),
    (tool_use.who_with_tools, 0.3),
    (infill.code, 0.7),
    (infill.prose, 1.2),
    (infill.counted, 0.7),
    (infill.question_answer, 0.7),
    (infill.gap_in_text, 4),
    (infill.gap_in_code, 3),
)
_GENERATORS = tuple(generator for generator, _ in MIXTURE)
_SHARES = tuple(share for _, share in MIXTURE)


def a_sample(rng: Random) -> tuple[str, Sample]:
    """A sample of the mixture, with the name of its generator."""
    (generator,) = rng.choices(_GENERATORS, weights=_SHARES)
    return generator.__name__, generator(rng)
