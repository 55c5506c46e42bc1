"""How fast this project is beside its peers, on one machine and in one run. scripts/bench runs it.

    VENV/bin/python model/reference/bench.py encoder|pixels [--device cuda] [--rounds N] [--threads N ...]

encoder  A checkpoint of some 60 million random weights, Qwen2-VL in small, encodes the same texts and images here and in
         transformers on PyTorch, in f32 (on a GPU: both in bf16), already tokenised and cut into patches.
pixels   JPEG bytes become patches here and in transformers' image processors, the slow one with Pillow and the fast one with
         torchvision, one core each.

The two sides take turns, call by call, and the medians are compared, so that a load from elsewhere meets both. That both
compute the same is checked on the way. The venv is the one that make_fixtures.py describes.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTION = "Represent the given image."
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 1369 * 28 * 28

# About 60 million weights, with heads as wide as the 2B and 7B checkpoints': 128 numbers in the language model, 80 in the
# vision tower.
TEXT = {
    "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 10, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}
VISION = {"embed_dim": 480, "num_heads": 6, "depth": 8, "mlp_ratio": 4}

# Name, inputs: texts of so many words, or images of so many pixels a side. Then how many inputs are a batch.
CASES = [
    ("text, 4 words", "text", 4, (1, 8, 64)),
    ("text, 200 words", "text", 200, (1, 8, 64)),
    ("texts, 4 to 200 words", "texts", 200, (32,)),
    ("image 224 x 224", "image", 224, (1, 8, 64)),
    ("image 448 x 448", "image", 448, (1, 8, 16)),
    ("image 1024 x 1024", "image", 1024, (1, 3)),
]

WORDS = "red bicycle near water old stone bridge over a quiet river with two boats and some trees".split()

PHOTOS = [("0.3 MP", 640, 480), ("2 MP", 1920, 1080), ("12 MP", 4000, 3000)]


class Peer:
    """The example `peer` in a process of its own."""

    def __init__(self, checkpoint, device, threads):
        self.process = subprocess.Popen(
            [ROOT / "target/release/examples/peer", str(checkpoint), device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
        )

    def ask(self, **command):
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peer ended at {command}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def photo(width, height, seed):
    """Noise of all scales, the coarse ones the strongest: compresses about as a photograph does."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), dtype=np.float32)
    for scale in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        rows, columns = max(2, height // scale), max(2, width // scale)
        noise = Image.fromarray(generator.integers(0, 256, (rows, columns, 3), dtype=np.uint8))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) * scale**0.3
    total -= total.min()
    return Image.fromarray((total * (255 / total.max())).astype(np.uint8))


def checkpoint(folder):
    """Writes the random checkpoint, and gives the model and its tokenizer."""
    import qwen2vl_kit as kit
    from safetensors.torch import save_file
    from tokenizers import Tokenizer

    demo = ROOT / "model/demo"
    (folder / "tokenizer.json").write_bytes((demo / "tokenizer.json").read_bytes())
    tokenizer = Tokenizer.from_file(str(demo / "tokenizer.json"))
    config = kit.make_config(tokenizer, tokenizer.get_vocab_size(), TEXT, VISION)
    model = kit.random_weights(config, 60)
    weights = {kit.saved_name(name): value.detach().contiguous() for name, value in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(config.to_json_string(use_diff=True))
    settings = json.loads((demo / "preprocessor_config.json").read_text())
    settings |= {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model, tokenizer, sum(value.numel() for value in weights.values())


def text_of(words, number):
    return " ".join(WORDS[(number * 7 + place * (1 + number % 5)) % len(WORDS)] for place in range(words))


def inputs_of(kind, size, count, folder):
    """The inputs of a case as `peer` reads them."""
    if kind == "text":
        return [{"text": text_of(size, number)} for number in range(count)]
    if kind == "texts":
        return [{"text": text_of(4 + number * 37 % (size - 3), number)} for number in range(count)]
    files = [folder / f"{size}_{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            photo(size, size, number).save(file)
    return [{"image": str(file)} for file in files]


def batch_of(tokenizer, inputs, device):
    """The arguments of one forward pass of transformers over the inputs, padded on the left where lengths differ."""
    import qwen2vl_kit as kit
    import torch

    processor = kit.ReferenceProcessor(MIN_PIXELS, MAX_PIXELS)
    rows, patches, grids = [], [], []
    for item in inputs:
        if "text" in item:
            rows.append(kit.token_ids(tokenizer, item["text"], None)[0])
            continue
        _, pixels, grid = processor(item["image"])
        rows.append(kit.token_ids(tokenizer, f"<|image_pad|> {INSTRUCTION}", grid)[0])
        patches.append(pixels)
        grids.append(grid)
    longest = max(len(row) for row in rows)
    ids = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0)) for row in rows])
    mask = torch.stack([(torch.arange(longest) >= longest - len(row)).long() for row in rows])
    positions = (mask.cumsum(1) - 1).clamp(min=0).expand(3, *mask.shape)
    arguments = {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
    if patches:
        arguments |= {"pixel_values": torch.cat(patches), "image_grid_thw": torch.stack(grids)}
    return {name: value.to(device) for name, value in arguments.items()}


def take_turns(ours, theirs, rounds):
    """Medians of the seconds of both, after a turn that does not count."""
    ours(), theirs()
    times = ([], [])
    for _ in range(rounds):
        for call, taken in zip((ours, theirs), times):
            # What the other side's threads still do at the end of a call must not meet this one.
            time.sleep(0.01)
            taken.append(call())
    return tuple(statistics.median(taken) for taken in times)


def seconds_of(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare_encoders(given, folder):
    import torch

    model, tokenizer, weights = checkpoint(folder)
    dtype = torch.bfloat16 if given.device == "cuda" else torch.float32
    model.config._attn_implementation = "sdpa"
    model = model.to(given.device, dtype)
    print(f"{weights / 1e6:.1f} million weights, {dtype}, {given.device}, median of {given.rounds} rounds\n")
    print("| input | batch | threads | transformers, inputs/s | sightstream, inputs/s | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")

    for threads in given.threads:
        torch.set_num_threads(threads)
        peer = Peer(folder, given.device, threads)
        batches = ((name, kind, size, count) for name, kind, size, counts in CASES for count in counts)
        for index, (name, kind, size, count) in enumerate(batches):
            inputs = inputs_of(kind, size, count, folder)
            arguments = batch_of(tokenizer, inputs, given.device)

            def encode():
                with torch.inference_mode():
                    hidden = model(**arguments, use_cache=False).last_hidden_state[:, -1]
                    return torch.nn.functional.normalize(hidden.float(), dim=-1).cpu()

            tokens = peer.ask(prepare=inputs)["tokens"]
            assert tokens == int(arguments["attention_mask"].sum()), f"{name}: other tokens"
            closest = torch.nn.functional.cosine_similarity(
                encode(), torch.tensor(peer.ask(vectors=index)["vectors"])
            ).min()
            assert closest > (0.98 if given.device == "cuda" else 0.99999), f"{name}: cosine {closest}"
            ours, theirs = take_turns(
                lambda: peer.ask(encode=index)["seconds"], lambda: seconds_of(encode), given.rounds
            )
            print(
                f"| {name} | {count} | {threads} | {count / theirs:.1f} | {count / ours:.1f} | {theirs / ours:.2f} |",
                flush=True,
            )
        peer.close()


def compare_pixels(given, folder):
    import torch
    from PIL import Image
    from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorFast

    torch.set_num_threads(1)
    limits = {"min_pixels": MIN_PIXELS, "max_pixels": 1280 * 28 * 28}
    slow, fast = Qwen2VLImageProcessor(**limits), Qwen2VLImageProcessorFast(**limits)
    settings = json.loads((ROOT / "model/demo/preprocessor_config.json").read_text())
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes((ROOT / "model/demo" / name).read_bytes())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | limits))
    peer = Peer(folder, "cpu", 1)
    print(f"JPEG bytes to patches, one core, median of {given.rounds} rounds\n")
    print("| photo | Pillow, ms | torchvision, ms | sightstream, ms | beside Pillow | beside torchvision |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, width, height in PHOTOS:
        file = folder / f"{width}.jpg"
        photo(width, height, 1).save(file, quality=90)
        data = file.read_bytes()

        def patches(processor):
            return processor(images=[Image.open(io.BytesIO(data)).convert("RGB")], return_tensors="pt")

        def ours():
            return peer.ask(patches=str(file))["seconds"]

        here, there = peer.ask(patches=str(file)), patches(slow)
        assert here["grid"] == there["image_grid_thw"][0].tolist(), f"{name}: another grid"
        assert abs(here["mean"] - there["pixel_values"].double().mean().item()) < 0.01, f"{name}: other patches"
        taken, pillow = take_turns(ours, lambda: seconds_of(lambda: patches(slow)), given.rounds)
        _, vision = take_turns(ours, lambda: seconds_of(lambda: patches(fast)), given.rounds)
        print(
            f"| {name} | {pillow * 1e3:.1f} | {vision * 1e3:.1f} | {taken * 1e3:.1f} | {pillow / taken:.2f} "
            f"| {vision / taken:.2f} |",
            flush=True,
        )
    peer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["encoder", "pixels"])
    arguments.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        {"encoder": compare_encoders, "pixels": compare_pixels}[given.what](given, Path(folder))


if __name__ == "__main__":
    main()
