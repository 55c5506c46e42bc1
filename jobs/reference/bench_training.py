"""How fast this project trains beside PyTorch: the same checkpoint, batch, GradCache chunks and threads.

    VENV/bin/python jobs/reference/bench_training.py [--model DIR] [--batch N] [--negatives K] [--chunk N ...] [--threads N ...]

A sample is an image with a caption and K captions that are wrong. A step is what a trainer does with a batch of them: their
vectors, InfoNCE, gradients of every weight by GradCache, clipping and AdamW, all in f32. Images and texts are read, cut into
patches and tokenised before. Chunk 0 is the whole batch at once, without GradCache's second pass.

The other side is transformers with scaled-dot-product attention, and GradCache as its authors describe it: every chunk once
without a graph and once with. Each side is a process of its own, which tells the most memory it has held. They take turns,
step by step, and the medians are compared, so that a load from elsewhere meets both. The losses of all steps are compared, so
both sides compute the same. This side is the example `training_peer` in a release build. The venv is the one that
model/reference/make_fixtures.py describes.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "model/reference"))
INSTRUCTION = "Represent the given image."
TEMPERATURE, LEARNING_RATE, WEIGHT_DECAY, LARGEST_NORM = 0.05, 1e-4, 0.01, 1.0
# How far a loss may be from the other side's, as a share: rounding, and what it grows to over a few steps.
TOLERANCE = 1e-2
# What is compared of a step: by the clock, and of the processor, which counts on a machine that has other things to do.
FIELDS = ("seconds", "processor_seconds")


class Side:
    """A process that does a step for each line on its input, and answers with its loss, seconds and peak memory."""

    def __init__(self, command, threads):
        names = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.steps = []

    def step(self):
        print("step", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.process.args[0]} ended with {self.process.wait()}")
        self.steps.append(json.loads(answer))

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def median(self, field):
        """Of all steps but the first, which fills caches and pools."""
        return statistics.median(step[field] for step in self.steps[1:])

    def peak(self):
        return self.steps[-1]["peak_mib"]


def draw_examples(folder, batch, negatives, side):
    """A pairs file of images with coloured rectangles and captions of about ten words."""
    import numpy as np
    from PIL import Image

    dice = random.Random(0)
    words = "one two three red green blue yellow round square striped things left right above below a white ground".split()

    def caption():
        return {"text": " ".join(dice.choice(words) for _ in range(dice.randint(8, 13)))}

    file = folder / "examples.jsonl"
    with file.open("w") as out:
        for number in range(batch):
            pixels = np.full((side, side, 3), 235, dtype=np.uint8)
            for _ in range(4):
                x, y = (dice.randrange(side - side // 4) for _ in range(2))
                pixels[y : y + side // 4, x : x + side // 4] = [dice.randrange(256) for _ in range(3)]
            Image.fromarray(pixels).save(folder / f"{number}.png")
            query = {"url": str(folder / f"{number}.png"), "instruction": INSTRUCTION}
            row = {"query": query, "positive": caption(), "negatives": [caption() for _ in range(negatives)]}
            print(json.dumps(row), file=out)
    return file


class Trainer:
    """The step in PyTorch."""

    def __init__(self, folder, examples, chunk):
        import torch
        from qwen2vl_kit import ReferenceProcessor
        from tokenizers import Tokenizer
        from transformers import Qwen2VLForConditionalGeneration

        loaded = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        self.model = loaded.model.train()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        self.processor = ReferenceProcessor(settings["min_pixels"], settings["max_pixels"])
        rows = [json.loads(line) for line in examples.read_text().splitlines()]
        targets = [item for row in rows for item in [row["positive"], *row["negatives"]]]
        self.per_query = len(targets) // len(rows)
        self.queries = self.chunks([row["query"] for row in rows], chunk)
        self.targets = self.chunks(targets, chunk)
        self.whole = chunk == 0
        # Matrices decay; biases and norms do not.
        matrices = [weight for weight in self.model.parameters() if weight.dim() > 1]
        vectors = [weight for weight in self.model.parameters() if weight.dim() == 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
            lr=LEARNING_RATE,
        )

    def chunks(self, items, size):
        size = size or len(items)
        return [self.batch(items[start : start + size]) for start in range(0, len(items), size)]

    def batch(self, items):
        """The arguments of one forward pass, padded on the left where lengths differ."""
        import torch
        from qwen2vl_kit import token_ids

        rows, patches, grids = [], [], []
        for item in items:
            if "url" not in item:
                rows.append(token_ids(self.tokenizer, item["text"], None)[0])
                continue
            _, pixels, grid = self.processor(item["url"])
            rows.append(token_ids(self.tokenizer, f"<|image_pad|> {item['instruction']}", grid)[0])
            patches.append(pixels)
            grids.append(grid)
        longest = max(len(row) for row in rows)
        ids = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0)) for row in rows])
        mask = torch.stack([(torch.arange(longest) >= longest - len(row)).long() for row in rows])
        positions = (mask.cumsum(1) - 1).clamp(min=0).expand(3, *mask.shape)
        arguments = {"input_ids": ids, "position_ids": positions, "attention_mask": mask}
        if patches:
            arguments |= {"pixel_values": torch.cat(patches), "image_grid_thw": torch.stack(grids)}
        return arguments

    def vectors(self, arguments):
        import torch

        hidden = self.model(**arguments, use_cache=False).last_hidden_state[:, -1]
        return torch.nn.functional.normalize(hidden, dim=-1)

    def loss(self, queries, targets):
        import torch

        right = torch.arange(len(queries)) * self.per_query
        return torch.nn.functional.cross_entropy(queries @ targets.T / TEMPERATURE, right)

    def backward(self):
        """Leaves the gradients with the weights, and gives the loss."""
        import torch

        if self.whole:
            loss = self.loss(self.vectors(self.queries[0]), self.vectors(self.targets[0]))
            loss.backward()
            return loss.item()
        sides = (self.queries, self.targets)
        with torch.no_grad():
            cached = [torch.cat([self.vectors(chunk) for chunk in side]) for side in sides]
        loss = self.loss(*(vectors.requires_grad_() for vectors in cached))
        loss.backward()
        for side, vectors in zip(sides, cached):
            start = 0
            for chunk in side:
                made = self.vectors(chunk)
                (made * vectors.grad[start : start + len(made)]).sum().backward()
                start += len(made)
        return loss.item()

    def step(self):
        import torch

        started, processor = time.perf_counter(), time.process_time()
        self.optimiser.zero_grad()
        loss = self.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_NORM)
        self.optimiser.step()
        return {
            "loss": loss,
            "seconds": time.perf_counter() - started,
            "processor_seconds": time.process_time() - processor,
            "peak_mib": peak_mib(),
        }


def peak_mib():
    """The most memory that this process has held."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def be_a_side(model, examples, chunk, threads):
    import torch

    torch.set_num_threads(threads)
    trainer = Trainer(model, examples, chunk)
    for _ in sys.stdin:
        print(json.dumps(trainer.step()), flush=True)


def compare(given, examples, chunk, threads):
    """Takes turns, and gives PyTorch's side and ours."""
    ours = [ROOT / "target/release/examples/training_peer", given.model, examples, str(chunk)]
    settings = (TEMPERATURE, LEARNING_RATE, WEIGHT_DECAY, LARGEST_NORM)
    ours += [str(number) for number in settings]
    theirs = [sys.executable, __file__, "--side", examples, "--model", given.model]
    theirs += ["--chunk", str(chunk), "--threads", str(threads)]
    sides = [Side([str(part) for part in command], threads) for command in (theirs, ours)]
    for _ in range(1 + given.rounds):
        for side in sides:
            side.step()
            # What the threads of one side still do at the end of a step must not meet the other.
            time.sleep(0.01)
    for side in sides:
        side.close()
    for theirs, ours in zip(*(side.steps for side in sides)):
        if abs(theirs["loss"] - ours["loss"]) > TOLERANCE * theirs["loss"]:
            raise SystemExit(f"the losses differ: {theirs['loss']} in PyTorch, {ours['loss']} here")
    return sides


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=Path, default=ROOT / "model/demo", help="a checkpoint's folder")
    arguments.add_argument("--batch", type=int, default=64, help="samples a step")
    arguments.add_argument("--negatives", type=int, default=1, help="wrong captions a sample")
    arguments.add_argument("--pixels", type=int, default=112, help="an image's side")
    arguments.add_argument("--chunk", type=int, nargs="+", default=[0, 16], help="of queries and of targets")
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        return be_a_side(given.model, given.side, given.chunk[0], given.threads[0])
    with tempfile.TemporaryDirectory() as folder:
        examples = draw_examples(Path(folder), given.batch, given.negatives, given.pixels)
        print(f"Steps of {given.batch} samples with {given.negatives} wrong captions each, median of {given.rounds} rounds\n")
        print("| chunk | threads | PyTorch, samples/s (CPU ms a sample) | sightstream | ratio (CPU) | peak MiB, PyTorch | peak MiB |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for threads in given.threads:
            for chunk in given.chunk:
                theirs, ours = compare(given, examples, chunk, threads)
                clock, processor = ([side.median(field) for side in (theirs, ours)] for field in FIELDS)
                cells = [
                    f"{given.batch / seconds:.1f} ({busy / given.batch * 1e3:.1f})"
                    for seconds, busy in zip(clock, processor)
                ]
                print(
                    f"| {chunk or 'whole'} | {threads} | {cells[0]} | {cells[1]} | {clock[0] / clock[1]:.2f} "
                    f"({processor[0] / processor[1]:.2f}) | {theirs.peak():.0f} | {ours.peak():.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
