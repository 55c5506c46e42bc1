"""How fast the encoder is beside transformers 4.57, on one checkpoint and one machine, in one run.

    cargo build --release -p sightstream-model --example encode_speed
    VENV/bin/python model/reference/compare_speed.py [target/release/examples/encode_speed] [CHECKPOINT] [--device cuda]

Both encode the same inputs, already tokenised and cut into patches, again and again for some seconds, with as many
threads as there are cores. Prints inputs per second of both, and their ratio. On a GPU both run in bf16. The venv is
the one that make_fixtures.py describes.
"""

import argparse
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from qwen2vl_kit import token_ids
from tokenizers import Tokenizer
from transformers import Qwen2VLForConditionalGeneration

MEASURED_SECONDS = 3.0
PATCH_VALUES = 3 * 2 * 14 * 14

# The rows of encode_speed's table: the name, the prompt, and the image's side in patches (0: no image).
INPUTS = [
    ("text, 4 words", "red bicycle near water", 0),
    ("text, 200 words", "red bicycle near water " * 50, 0),
    ("image 112 x 112", "<|image_pad|> Represent the given image.", 8),
    ("image 336 x 336", "<|image_pad|> Represent the given image.", 24),
]


def load(folder, device):
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    whole = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    return whole.model.eval().to(device)


def batch_of(model, tokenizer, prompt, side, size, device):
    """The arguments of one forward pass over `size` equal inputs."""
    grid = torch.tensor([1, side, side]) if side else None
    ids = token_ids(tokenizer, prompt, grid).reshape(1, -1).repeat(size, 1)
    positions = torch.arange(ids.shape[1]).expand(3, size, -1)
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": torch.ones_like(ids)}
    if side:
        patches = np.random.default_rng(0).standard_normal((side * side * size, PATCH_VALUES), dtype=np.float32)
        inputs["pixel_values"] = torch.from_numpy(patches)
        inputs["image_grid_thw"] = grid.repeat(size, 1)
    return {name: value.to(device) for name, value in inputs.items()}


def rate(model, inputs, size):
    """Inputs encoded a second."""
    def encode():
        with torch.inference_mode():
            hidden = model(**inputs, use_cache=False).last_hidden_state[:, -1]
            return torch.nn.functional.normalize(hidden, dim=-1).float().cpu()

    encode()
    started, encoded = time.perf_counter(), 0
    while time.perf_counter() - started < MEASURED_SECONDS:
        encode()
        encoded += size
    return encoded / (time.perf_counter() - started)


def ours(example, checkpoint, device):
    """encode_speed's table: (input, batch) to inputs a second."""
    printed = subprocess.run([example, checkpoint, device], check=True, capture_output=True, text=True).stdout
    table = {}
    for line in printed.splitlines()[2:]:
        name, (batch, _, inputs_per_second, _) = line[:18].strip(), line[18:].split()
        table[name, int(batch)] = float(inputs_per_second)
    return table


def main():
    root = Path(__file__).resolve().parents[2]
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("example", nargs="?", default=root / "target/release/examples/encode_speed")
    arguments.add_argument("checkpoint", nargs="?", default=str(root / "model/demo"))
    arguments.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = arguments.parse_args()
    table = ours(given.example, given.checkpoint, given.device)
    model = load(given.checkpoint, given.device)
    tokenizer = Tokenizer.from_file(f"{given.checkpoint}/tokenizer.json")
    print(f"{'input':<18} {'batch':>5} {'transformers/s':>15} {'sightstream/s':>14} {'ratio':>6}")
    for name, prompt, side in INPUTS:
        for size in (1, 16):
            theirs = rate(model, batch_of(model, tokenizer, prompt, side, size, given.device), size)
            print(f"{name:<18} {size:>5} {theirs:>15.1f} {table[name, size]:>14.1f} {table[name, size] / theirs:>6.2f}")


if __name__ == "__main__":
    main()
