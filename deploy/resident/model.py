"""The network, operation for operation what llama.cpp computes for the architecture "qwen3"."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ModelConfig:
    """The shape; defaults are those of the shipped model."""

    vocab_size: int = 3072
    hidden_size: int = 192
    layers: int = 6
    heads: int = 3
    kv_heads: int = 3
    head_size: int = 64
    ffn_size: int = 512
    context_length: int = 2048
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-6
    dropout: float = 0.0


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, width = config.head_size, config.hidden_size
        self.query = nn.Linear(width, config.heads * size, bias=False)
        self.key = nn.Linear(width, config.kv_heads * size, bias=False)
        self.value = nn.Linear(width, config.kv_heads * size, bias=False)
        self.output = nn.Linear(config.heads * size, width, bias=False)
        self.query_norm = nn.RMSNorm(size, eps=config.norm_epsilon)
        self.key_norm = nn.RMSNorm(size, eps=config.norm_epsilon)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, _ = hidden.shape
        size = self.config.head_size
        query = self.query_norm(self.query(hidden).view(batch, length, -1, size)).transpose(1, 2)
        key = self.key_norm(self.key(hidden).view(batch, length, -1, size)).transpose(1, 2)
        value = self.value(hidden).view(batch, length, -1, size).transpose(1, 2)
        query, key = rotate(query, *rotation).to(value.dtype), rotate(key, *rotation).to(value.dtype)
        mixed = self.mix(query, key, value)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Causal attention written out: for short rows on a CPU twice as fast as torch's own.

        Query heads that share a key head are laid end to end, so that one product serves them all.
        """
        batch, kv_heads, length, size = key.shape
        group = self.config.heads // kv_heads
        scores = query.reshape(batch, kv_heads, group * length, size) @ key.transpose(2, 3)
        scores = scores.view(batch, kv_heads, group, length, length).float() * size**-0.5
        later = torch.ones(length, length, dtype=torch.bool, device=key.device).triu(1)
        shares = scores.masked_fill(later, float("-inf")).softmax(-1).to(value.dtype)
        shares = functional.dropout(shares, self.config.dropout, self.training)
        return (shares.view(batch, kv_heads, group * length, length) @ value).view(batch, -1, length, size)


class Block(nn.Module):
    """Attention and a gated feed-forward network, each behind a norm and beside the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.ffn_size
        self.attention_norm = nn.RMSNorm(width, eps=config.norm_epsilon)
        self.attention = Attention(config)
        self.ffn_norm = nn.RMSNorm(width, eps=config.norm_epsilon)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), rotation))
        inner = self.ffn_norm(hidden)
        return hidden + self.dropout(self.down(functional.silu(self.gate(inner)) * self.up(inner)))


class LanguageModel(nn.Module):
    """Token ids and positions to logits; input and output share one embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            outward = module.out_features == self.config.hidden_size
            scale = 1 / math.sqrt(2 * self.config.layers) if outward else 1.0
            nn.init.normal_(module.weight, std=0.03 * scale)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.03)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The hidden states; `logits` makes tokens of those that are wanted."""
        hidden = self.embedding(ids)
        rotation = rotations(positions, self.config)
        for block in self.blocks:
            hidden = block(hidden, rotation)
        return self.norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.embedding.weight)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def save(self, path: Path) -> None:
        torch.save({"config": asdict(self.config), "weights": self.state_dict()}, path)

    @classmethod
    def load(cls, path: Path) -> "LanguageModel":
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model = cls(ModelConfig(**saved["config"]))
        model.load_state_dict(saved["weights"])
        return model


def rotations(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines of (batch, 1, length, head_size / 2)."""
    half = config.head_size // 2
    exponents = torch.arange(half, device=positions.device, dtype=torch.float32) / half
    angles = positions[:, None, :, None].float() * config.rope_base**-exponents
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair (i, i + half), the layout llama.cpp calls NEOX."""
    first, second = heads.float().chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
