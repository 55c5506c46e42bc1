"""Whether Hugging Face PEFT and transformers load what `sightstream` writes to the same vectors.

    cargo run -p sightstream-jobs --example write_for_peft -- FOLDER
    python jobs/reference/check_peft.py FOLDER/*

Needs torch 2.11, transformers 4.57.6 and peft 0.21. It downloads nothing. jobs/examples/write_for_peft.rs says what is in the folders.
It ends with an error if PEFT misses a tensor, or a vector's cosine to ours is 0.99999 or less.
"""

import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import Qwen2VLForConditionalGeneration


def vector(model, inputs, index):
    """The normalised last hidden state of one input, by the model inside of the one that generates text."""
    ids = inputs[f"{index}.token_ids"][None]
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    pixels = {}
    if f"{index}.patches" in inputs:
        pixels = {"pixel_values": inputs[f"{index}.patches"], "image_grid_thw": inputs[f"{index}.grid_thw"][None]}
    with torch.no_grad():
        hidden = model(input_ids=ids, position_ids=positions, use_cache=False, **pixels).last_hidden_state[0, -1]
    return torch.nn.functional.normalize(hidden, dim=-1)


def check(folder):
    inputs = load_file(folder / "inputs.safetensors")
    count = sum(name.endswith(".token_ids") for name in inputs)
    assert count > 0
    load = lambda path: Qwen2VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()  # noqa: E731
    base = (folder / "base").read_text()
    plain = load(base).model
    with warnings.catch_warnings():
        # PEFT warns of tensors that are missing, and goes on with random ones.
        warnings.simplefilter("error")
        adapted = PeftModel.from_pretrained(load(base), folder / "adapter").eval()
    found = {name for name, _ in adapted.named_parameters() if "lora_" in name}
    written = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert len(found) == len(written), f"{len(found)} tensors in PEFT's model, {len(written)} in the file"
    merged = load(folder / "merged").model
    for index in range(count):
        expected = inputs[f"{index}.vector"]
        moved = float(vector(plain, inputs, index) @ expected)
        assert moved < 0.98, "an adapter that moves nothing shows nothing"
        for name, found in {
            "peft": vector(adapted.base_model.model.model, inputs, index), "merged": vector(merged, inputs, index),
            "twin": inputs[f"{index}.twin"],
        }.items():
            cosine = float(found @ expected)
            assert cosine > 0.99999, f"{folder}: input {index}, {name}: {cosine}"
    print(f"{folder}: PEFT's vectors, the merged checkpoint's and the twin's are ours ({count} inputs)")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for path in sys.argv[1:]:
        check(Path(path))
