"""Score every skill of the exported model and, if asked, write the scores into its card."""

import argparse
import os
from pathlib import Path

from deploy.resident.checks import CHECKS, Score
from deploy.resident.parity import tokenizer_parity
from deploy.resident.runner import Runner

CARD = Path("server/caravan/models/resident/CARD.md")
BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"


def scores(runner: Runner, tokenizer: Path, show: int) -> dict[str, Score]:
    results = {}
    for name, (check, total) in CHECKS.items():
        results[name] = check(runner, total)
        report(name, results[name], show)
    stopped = Score()
    for reply in runner.replies:
        stopped.count(reply.stopped, reply.text)
    results["stops by itself (all replies above)"] = stopped
    report("stops by itself", stopped, show)
    if tokenizer.exists():
        results["tokens equal to the trained tokenizer's"] = tokenizer_parity(runner, tokenizer)
        report("tokenizer", results["tokens equal to the trained tokenizer's"], show)
    return results


def report(name: str, score: Score, show: int) -> None:
    print(f"{score.right:4d} of {score.total:4d}  {name}", flush=True)
    for miss in score.misses[:show]:
        print(f"        {miss!r}")


def table(results: dict[str, Score]) -> str:
    rows = [
        f"| {name} | {score.right} of {score.total} | {score.right / score.total:.0%} |"
        for name, score in results.items()
    ]
    return "\n".join(["| skill | right | share |", "| --- | --- | --- |", *rows])


def write_card(card: Path, text: str) -> None:
    """Replace what stands between the two marks."""
    head, rest = card.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    card.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("server/caravan/models/resident/resident.gguf"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/resident/tokenizer.json"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--misses", type=int, default=0, help="how many misses of each skill to show")
    parser.add_argument("--card", action="store_true", help="write the scores into the card")
    options = parser.parse_args()
    results = scores(Runner(options.model, options.threads), options.tokenizer, options.misses)
    if options.card:
        write_card(CARD, table(results))


if __name__ == "__main__":
    main()
