"""Train the network; hyperparameters are options under their usual names."""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from deploy.resident.batches import BatchOptions, Group, groups
from deploy.resident.corpus import Corpus
from deploy.resident.model import LanguageModel, ModelConfig
from deploy.resident.schedule import Schedule


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("runs/resident"), help="folder with train.npz and validation.npz")
    add("--output", type=Path, default=Path("runs/resident"), help="folder for model.pt, losses.csv and logs")
    add("--initial", type=Path, help="a model.pt to go on from; its shape must be that of the options")
    add("--seed", type=int, default=1)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, default=0, help="CPU threads, 0 for all")
    add(
        "--optimizer",
        choices=("muon", "adamw"),
        default="muon",
        help="muon: matrices only, AdamW for the rest",
    )
    add("--learning-rate", type=float, default=3e-3)
    add("--schedule", choices=("constant", "time", "step", "exponential", "cosine"), default="cosine")
    add("--warmup", type=float, default=0.03, help="share of the training in which the rate rises")
    add("--decay", type=float, default=0.01, help="share of the learning rate the schedule comes down to")
    add("--drops", type=int, default=3, help="drops of the schedule step")
    add("--batch-size", type=int, default=64, help="documents in a batch")
    add("--epochs", type=int, default=1)
    add("--gradient-clipping", type=float, default=1.0, help="largest norm of the gradient")
    add("--weight-decay", type=float, default=0.05)
    add("--dropout", type=float, default=0.0)
    add("--hidden-size", type=int, default=ModelConfig.hidden_size)
    add("--ffn-size", type=int, default=ModelConfig.ffn_size)
    add("--layers", type=int, default=ModelConfig.layers)
    add("--heads", type=int, default=ModelConfig.heads)
    add("--kv-heads", type=int, default=ModelConfig.kv_heads)
    add(
        "--prompt-share",
        type=float,
        default=0.15,
        help="share of what user and tools say that is learned too",
    )
    add("--evaluate-every", type=int, default=100, help="steps between validations")
    add(
        "--max-minutes",
        type=float,
        default=float("inf"),
        help="end the schedule by then, whatever the epochs",
    )
    add("--compile", action="store_true", help="compile the blocks; needs a C++ compiler")
    add("--patience", type=int, default=6, help="validations without a better loss before training stops")
    return parser.parse_args()


def loss_of(model: LanguageModel, group: Group, device: str) -> tuple[Tensor, Tensor]:
    """The weighted sum of the losses, and that of the spoken tokens alone."""
    weights = group.weights.to(device)
    wanted = weights > 0
    with torch.autocast(device, dtype=torch.bfloat16):
        logits = model.logits(model(group.ids.to(device), group.positions.to(device))[wanted])
    losses = functional.cross_entropy(logits.float(), group.targets.to(device)[wanted], reduction="none")
    return (losses * weights[wanted]).sum(), (losses.detach() * group.spoken.to(device)[wanted]).sum()


class Training:
    """A model on its way: the optimizers, the schedule and the log."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.corpus = Corpus.load(options.data / "train.npz")
        self.validation = Corpus.load(options.data / "validation.npz")
        vocab_size = -(-(1 + int(self.corpus.ids.max())) // 32) * 32
        config = ModelConfig(
            vocab_size=vocab_size,
            hidden_size=options.hidden_size,
            ffn_size=options.ffn_size,
            layers=options.layers,
            heads=options.heads,
            kv_heads=options.kv_heads,
            dropout=options.dropout,
        )
        self.model = LanguageModel(config).to(options.device)
        if options.initial:
            self.model.load_state_dict(LanguageModel.load(options.initial).state_dict())
        if options.compile:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.optimizers = self._optimizers()
        self.batch_options = BatchOptions(
            prompt_share=options.prompt_share, context_length=config.context_length
        )
        self.num_steps = options.epochs * (self.num_documents // options.batch_size)
        self.schedule = Schedule(options.schedule, options.warmup, options.decay, options.drops)
        self.begin = time.monotonic()
        self.writer = SummaryWriter(str(options.output / "tensorboard"))
        self.rows: list[tuple[int, int, float, float, float]] = []

    @property
    def num_documents(self) -> int:
        return len(self.corpus.starts) - 1

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        options = self.options
        matrices = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "embedding" not in name]
        rest = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embedding" in name]
        rate, decay = options.learning_rate, options.weight_decay
        if options.optimizer == "adamw":
            parts = [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
            return [torch.optim.AdamW(parts, lr=rate, betas=(0.9, 0.98))]
        muon = torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        return [muon, torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)]

    def batches(self) -> Iterator[list[Group]]:
        """All epochs, each in an order of its own."""
        rng = np.random.default_rng(self.options.seed)
        size = self.options.batch_size
        for _ in range(self.options.epochs):
            order = rng.permutation(self.num_documents)
            for start in range(0, self.num_documents - size + 1, size):
                yield list(groups(self.corpus, order[start : start + size].tolist(), self.batch_options, rng))

    def rate(self, step: int) -> float:
        return float(self.options.learning_rate * self.schedule.factor(self.progress(step)))

    def progress(self, step: int) -> float:
        minutes = (time.monotonic() - self.begin) / 60
        return max(step / self.num_steps, minutes / self.options.max_minutes)

    def step(self, batch: list[Group], number: int) -> float:
        """One update; the loss per spoken token."""
        rate = self.rate(number)
        total = float(sum(group.weights.sum() for group in batch))
        spoken = float(sum(group.spoken.sum() for group in batch))
        loss_sum = 0.0
        for group in batch:
            loss, spoken_loss = loss_of(self.model, group, self.options.device)
            (loss / total).backward()
            loss_sum += float(spoken_loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_clipping)
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        return loss_sum / spoken

    @torch.no_grad()
    def validate(self) -> float:
        """The loss per spoken token of the validation set."""
        self.model.eval()
        rng = np.random.default_rng(0)
        documents = list(range(len(self.validation.starts) - 1))
        loss_sum = spoken = 0.0
        for group in groups(self.validation, documents, self.batch_options, rng):
            loss_sum += float(loss_of(self.model, group, self.options.device)[1])
            spoken += float(group.spoken.sum())
        self.model.train()
        return loss_sum / spoken

    def run(self) -> None:
        """Train until the schedule ends or the validation loss no longer falls; keep the best."""
        best, waited, seen, recent = float("inf"), 0, 0, []
        print(f"{self.model.num_parameters} parameters, {self.num_steps} steps", flush=True)
        for number, batch in enumerate(self.batches(), 1):
            recent.append(self.step(batch, number))
            seen += sum(group.num_tokens for group in batch)
            last = self.progress(number) >= 1
            if number % self.options.evaluate_every and not last:
                continue
            losses = float(np.mean(recent)), self.validate()
            recent.clear()
            self.log(number, seen, *losses)
            waited = 0 if losses[1] < best else waited + 1
            if losses[1] < best:
                best = losses[1]
                self.model.save(self.options.output / "model.pt")
            if last or waited >= self.options.patience:
                break
        self.writer.close()

    def log(self, step: int, tokens: int, train: float, validation: float) -> None:
        rate, seconds = self.rate(step), time.monotonic() - self.begin
        print(
            f"step {step}  tokens {tokens}  train {train:.4f}  validation {validation:.4f}  "
            f"rate {rate:.2e}  {tokens / seconds:.0f} tokens/s",
            flush=True,
        )
        for name, value in (("loss/train", train), ("loss/validation", validation), ("learning_rate", rate)):
            self.writer.add_scalar(name, value, step)
        self.rows.append((step, tokens, train, validation, rate))
        with (self.options.output / "losses.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("step", "tokens", "train_loss", "validation_loss", "learning_rate"))
            table.writerows(self.rows)


if __name__ == "__main__":
    Training(parse()).run()
