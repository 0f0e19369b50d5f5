"""The trie of labels: each scored as if it were alone, whatever the others are, and nothing asked twice."""

import itertools
import math
import random

import pytest
from caravan.api.decisions.label_trie import Branch, LabelTrie, Path
from caravan.api.decisions.probabilities import log_sum
from caravan.engine.outputs import TokenLogprob

ENDS = (90, 91)


def logprob(before: Path, token_id: int) -> float:
    """What a model might say: some function of all that it sees."""
    return -1 - (hash((before, token_id)) % 1000) / 100


def told(trie: LabelTrie) -> list[list[TokenLogprob]]:
    """What the engine would answer: the last token of the stem and the path's are places."""
    answers = []
    for branch in trie.branches:
        first = len(branch.path) + 1 - len(branch.probes)
        answers.append(
            [
                TokenLogprob(token_id, logprob(branch.path[:depth], token_id))
                for depth, asked in enumerate(branch.probes, first)
                for token_id in asked
            ]
        )
    return answers


def alone(label: Path) -> float:
    steps = [logprob(label[:depth], token_id) for depth, token_id in enumerate(label)]
    return sum(steps) + log_sum([logprob(label, end) for end in ENDS])


@pytest.mark.parametrize("seed", range(30))
def test_each_label_is_scored_as_if_alone(seed: int) -> None:
    rng = random.Random(seed)
    labels = list(
        {tuple(rng.randrange(3) for _ in range(rng.randrange(1, 6))) for _ in range(rng.randrange(2, 40))}
    )
    rng.shuffle(labels)
    trie = LabelTrie(labels, ENDS)
    scores = trie.scores(told(trie))
    assert [score.logprob for score in scores] == pytest.approx([alone(label) for label in labels])
    assert [score.num_tokens for score in scores] == [len(label) + 1 for label in labels]


@pytest.mark.parametrize("seed", range(10))
def test_each_node_is_asked_once(seed: int) -> None:
    rng = random.Random(seed)
    labels = list({tuple(rng.randrange(4) for _ in range(rng.randrange(1, 5))) for _ in range(20)})
    trie = LabelTrie(labels, ENDS)
    asked = [
        branch.path[:depth]
        for branch in trie.branches
        for depth in range(len(branch.path) + 1 - len(branch.probes), len(branch.path) + 1)
    ]
    nodes = {label[:depth] for label in labels for depth in range(len(label) + 1)}
    assert sorted(asked) == sorted(nodes)
    assert trie.num_nodes == len(nodes) - 1


def test_a_beginning_of_another_label_needs_its_end() -> None:
    short, long = (1,), (1, 2)
    trie = LabelTrie([short, long], ENDS)
    assert [branch.path for branch in trie.branches] == [long]
    assert trie.branches[0].probes == ((1,), (2, *ENDS), ENDS)


@pytest.mark.parametrize("seed", range(10))
def test_without_an_end_the_tokens_alone_count(seed: int) -> None:
    rng = random.Random(seed)
    labels = list({tuple(rng.randrange(3) for _ in range(rng.randrange(1, 5))) for _ in range(12)})
    trie = LabelTrie(labels, ())
    found = [score.logprob for score in trie.scores(told(trie))]
    wanted = [sum(logprob(each[:depth], token) for depth, token in enumerate(each)) for each in labels]
    assert found == pytest.approx(wanted)
    assert LabelTrie([(1,), (2,)], ()).branches == [Branch((), ((1, 2),))]


def test_labels_that_are_all_there_is_share_everything() -> None:
    """All texts of one or two tokens, of a vocabulary of two: the empty one and longer ones are left out."""
    chances = {0: 0.5, 1: 0.25, 90: 0.25}
    labels = [path for size in (1, 2) for path in itertools.product((0, 1), repeat=size)]
    trie = LabelTrie(labels, (90,))
    answers = [
        [TokenLogprob(token_id, math.log(chances[token_id])) for asked in branch.probes for token_id in asked]
        for branch in trie.branches
    ]
    mass = math.exp(log_sum([score.logprob for score in trie.scores(answers)]))
    assert mass == pytest.approx(1 - 0.25 - 0.75**3)
