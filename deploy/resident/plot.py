"""Draw the losses of a training run for the card, and keep their table beside it."""

import argparse
import csv
import shutil
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

mpl.use("agg")


def draw(losses: Path, image: Path) -> None:
    with losses.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    millions = [int(row["tokens"]) / 1e6 for row in rows]
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    axes.plot(millions, [float(row["train_loss"]) for row in rows], label="training")
    axes.plot(millions, [float(row["validation_loss"]) for row in rows], label="validation")
    axes.set_xlabel("million tokens read")
    axes.set_ylabel("loss per spoken token (nats)")
    axes.set_yscale("log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(image, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", type=Path, default=Path("runs/resident/losses.csv"))
    parser.add_argument("--output", type=Path, default=Path("server/caravan/models/resident/loss.png"))
    options = parser.parse_args()
    draw(options.losses, options.output)
    shutil.copyfile(options.losses, options.output.with_name("losses.csv"))


if __name__ == "__main__":
    main()
