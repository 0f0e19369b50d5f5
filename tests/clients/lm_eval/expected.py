"""What the task's options score by llama.cpp alone: `python -m tests.clients.lm_eval.expected FILE`.

Only for the model that ships with the server.
"""

import json
import sys
from pathlib import Path

from tests.resident.direct import Direct

HERE = Path(__file__).parent


def expected() -> dict[str, dict[str, tuple[float, bool]]]:
    """By question and option: the sum of log probabilities, and whether greedy decoding would write it."""
    direct = Direct()
    scores: dict[str, dict[str, tuple[float, bool]]] = {}
    for line in (HERE / "questions.jsonl").read_text().splitlines():
        item = json.loads(line)
        context = direct.tokenize(f"Q: {item['question']}\nA:")
        found = scores.setdefault(item["question"], {})
        for choice in item["choices"]:
            token_ids = direct.tokenize(f"Q: {item['question']}\nA: {choice}")
            rows = direct.logprobs(token_ids)
            places = range(len(context), len(token_ids))
            total = sum(float(rows[place - 1][token_ids[place]]) for place in places)
            is_greedy = all(int(rows[place - 1].argmax()) == token_ids[place] for place in places)
            found[choice] = (total, is_greedy)
    direct.close()
    return scores


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(expected(), indent=1), encoding="utf-8")
