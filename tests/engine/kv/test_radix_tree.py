"""The tree against a list of lists."""

import random

import pytest
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.kv.radix_tree import RadixTree


class Model:
    """What the tree claims to be: each sequence a list of (token, cell)."""

    def __init__(self) -> None:
        self.runs: dict[int, list[tuple[int, int]]] = {}
        self.next_cell = 0

    def extend(self, seq_id: int, tokens: list[int]) -> None:
        for token in tokens:
            self.runs[seq_id].append((token, self.next_cell))
            self.next_cell += 1

    def cells(self, seq_ids: set[int]) -> int:
        return len({cell for i in seq_ids for _, cell in self.runs[i]})

    def match(self, tokens: list[int], *, whole: bool) -> tuple[int, set[int]]:
        best = 0
        who: set[int] = set()
        for seq_id, run in self.runs.items():
            have = [token for token, _ in run]
            length = common_prefix(have, tokens)
            if whole and length != len(have):
                continue
            if length > best:
                best, who = length, set()
            if length == best > 0:
                who.add(seq_id)
        return best, who


@pytest.mark.parametrize("seed", range(10))
def test_random_operations_equal_a_plain_list(seed: int) -> None:
    rng = random.Random(seed)
    tree, model = RadixTree(), Model()
    for _ in range(600):
        _operate(rng, tree, model)
        assert tree.num_cells == model.cells(set(model.runs))
        chosen = {i for i in model.runs if rng.random() < 0.5}
        assert tree.num_cells_of(chosen) == model.cells(chosen)
        for seq_id, run in model.runs.items():
            assert tree.tokens(seq_id) == [token for token, _ in run]
        query = [rng.randrange(2) for _ in range(rng.randrange(12))]
        for whole in (False, True):
            match = tree.match(query, whole=whole)
            length, holders = model.match(query, whole=whole)
            # Separate branches may hold equal tokens; the tree names the sharers of one of them.
            assert match.length == length
            assert match.seq_ids <= holders
            assert bool(match.seq_ids) == bool(holders)


def _operate(rng: random.Random, tree: RadixTree, model: Model) -> None:
    known = list(model.runs)
    free = [i for i in range(8) if i not in model.runs]
    act = rng.choice(["insert", "fork", "extend", "extend", "extend", "truncate", "remove"])
    if act == "insert" and free:
        tree.insert(free[0])
        model.runs[free[0]] = []
    elif known:
        seq_id = rng.choice(known)
        run = model.runs[seq_id]
        length = rng.randrange(len(run) + 1)
        if act == "fork" and free:
            tree.fork(seq_id, free[0], length)
            model.runs[free[0]] = run[:length]
        elif act == "extend":
            tokens = [rng.randrange(2) for _ in range(rng.randrange(5))]
            tree.extend(seq_id, tokens)
            model.extend(seq_id, tokens)
        elif act == "truncate":
            tree.truncate(seq_id, length)
            del run[length:]
        elif act == "remove":
            tree.remove(seq_id)
            del model.runs[seq_id]


def test_wrong_calls_are_refused() -> None:
    tree = RadixTree()
    tree.insert(1)
    tree.extend(1, [1, 2, 3])
    with pytest.raises(ValueError, match="already"):
        tree.insert(1)
    with pytest.raises(ValueError, match="fork"):
        tree.fork(1, 2, 4)
    with pytest.raises(ValueError, match="prefix"):
        tree.truncate(1, 4)


@pytest.mark.parametrize("seed", range(5))
def test_common_prefix_equals_a_scan(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        left = [rng.randrange(2) for _ in range(rng.randrange(40))]
        right = left[: rng.randrange(41)] + [rng.randrange(2) for _ in range(rng.randrange(10))]
        start = rng.randrange(3)
        shifted = [7] * start + right
        scan = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
        assert common_prefix(left, shifted, start) == (min(len(left), len(right)) if scan is None else scan)
