"""Make the resident model from nothing: tokenizer, corpus, training, export, plot, evaluation.

Arguments go to the training; `--epochs 2 --hidden-size 256`, for example.
"""

import subprocess
import sys

STEPS: tuple[tuple[str, ...], ...] = (
    ("tokenizer",),
    ("corpus",),
    ("train",),
    ("export",),
    ("plot",),
    ("evaluate", "--card"),
)


def main() -> None:
    for name, *arguments in STEPS:
        if name == "train":
            arguments = sys.argv[1:]
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"deploy.resident.{name}", *arguments], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
