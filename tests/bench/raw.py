"""The speed of llama.cpp without any server around it: the limit that a server can only approach."""

import json
import subprocess
from pathlib import Path

from tests.bench.builds import Peers


def decode_speed(peers: Peers, model: Path, num_sequences: int, num_tokens: int, threads: int) -> float:
    """Tokens a second of `llama_decode` with greedy drawing, all sequences together."""
    prompt = 32
    command = [peers.binary("llama-batched-bench"), "-m", model, "-t", threads, "-tb", threads]
    command += ["-npp", prompt, "-ntg", num_tokens, "-npl", num_sequences]
    command += ["-c", num_sequences * (prompt + num_tokens), "--output-format", "jsonl"]
    lines = [line for line in _output(command).splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["speed_tg"])


def prefill_speed(peers: Peers, model: Path, num_tokens: int, threads: int) -> float:
    """Tokens a second of one prompt."""
    command = [peers.binary("llama-bench"), "-m", model, "-t", threads, "-p", num_tokens, "-n", 0]
    command += ["-r", 2, "-o", "json"]
    return float(json.loads(_output(command))[0]["avg_ts"])


def _output(command: list[object]) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return done.stdout
