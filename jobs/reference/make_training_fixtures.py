"""Makes jobs/tests/fixtures/twin: gradients of a contrastive loss by PyTorch, for the small checkpoints of model/tests/fixtures.

    python3 -m venv refvenv
    refvenv/bin/pip install torch==2.11.0 transformers==4.57.6 peft==0.21.0 numpy safetensors
    refvenv/bin/python jobs/reference/make_training_fixtures.py

It gives the same files each time.

twin/batch.json               the inputs of one batch: token ids, grid and kind of the pixels, and the number that their
                              formula starts from; which are queries and which targets
twin/KIT.CASE.safetensors     for each way to train (all, lora, dora, lora_vision, dora_vision):
    vectors                   (inputs, hidden) the unit vectors
    loss                      InfoNCE, queries against all targets
    gradient.NAME             of every trainable tensor, under the name it has in files; of a long one every STRIDEth number …
    norm.NAME                 … and its length
    adapter.NAME              the adapter's tensors, as PEFT saves them

Pixels are not stored: number i of an input is ((7919 i + 104729 seed) mod 2003) / 1001 - 1.

twin/dropout.safetensors      one DoRA and one LoRA layer of PEFT in training, with known dropout masks: what goes in and comes
                              out, and gradients
"""

import json
from pathlib import Path

import numpy as np
import peft
import torch
from safetensors.torch import save_file
from transformers import Qwen2VLForConditionalGeneration

ROOT = Path(__file__).resolve().parent.parent.parent
KITS = ROOT / "model" / "tests" / "fixtures"
FIXTURES = ROOT / "jobs" / "tests" / "fixtures" / "twin"
TEMPERATURE = 0.07
LONGEST = 1500
TEXT = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VISION = ["qkv", "proj", "fc1", "fc2", "mlp.0", "mlp.2", "q_proj", "v_proj"]
CASES = {
    "all": None,
    "lora": {"target_modules": TEXT},
    "dora": {"target_modules": TEXT, "use_dora": True},
    "lora_vision": {"target_modules": VISION},
    "dora_vision": {"target_modules": VISION, "use_dora": True},
}
IMAGE_PAD, VIDEO_PAD, VISION_START, VISION_END = 766, 767, 763, 764


def words(seed, count):
    return [3 + (seed * 131 + i * i * 17 + i * 29) % 700 for i in range(count)]


def pixels_input(seed, kind, grid, before, after, started=False):
    pads = [IMAGE_PAD if kind == "image" else VIDEO_PAD] * (grid[0] * grid[1] * grid[2] // 4)
    if started:
        pads = [VISION_START, *pads, VISION_END]
    return {"token_ids": [*words(seed, before), *pads, *words(seed + 1, after)], "kind": kind, "grid": grid, "seed": seed}


def batch():
    """Three queries, each with a positive and a hard negative: every modality on both sides, equal and unequal lengths."""
    return {
        "queries": [
            {"token_ids": words(1, 5)},
            {"token_ids": words(2, 1)},
            pixels_input(3, "image", [1, 4, 6], 0, 4),
        ],
        "targets": [
            pixels_input(4, "image", [1, 4, 4], 0, 3),
            {"token_ids": words(5, 9)},
            pixels_input(6, "clip", [2, 4, 2], 0, 6),
            pixels_input(7, "image", [1, 4, 4], 2, 1, started=True),
            {"token_ids": words(8, 9)},
            pixels_input(9, "clip", [3, 2, 4], 3, 2, started=True),
        ],
    }


def patches(item):
    count = int(np.prod(item["grid"])) * 1176
    numbers = (7919 * np.arange(count, dtype=np.int64) + 104729 * item["seed"]) % 2003
    return torch.tensor(numbers.astype(np.float64) / 1001 - 1).float().reshape(-1, 1176)


def encode(model, item):
    ids = torch.tensor([item["token_ids"]])
    kind = {}
    if "grid" in item:
        grid = torch.tensor([item["grid"]])
        names = ("pixel_values", "image_grid_thw") if item["kind"] == "image" else ("pixel_values_videos", "video_grid_thw")
        kind = dict(zip(names, (patches(item), grid)))
    grids = {name: value for name, value in kind.items() if name.endswith("grid_thw")}
    positions, _ = model.get_rope_index(ids, **grids)
    model.rope_deltas = None
    hidden = model(input_ids=ids, position_ids=positions, use_cache=False, **kind).last_hidden_state[0]
    return torch.nn.functional.normalize(hidden[-1], dim=-1)


def info_nce(vectors, queries):
    targets = vectors[queries:]
    labels = torch.arange(queries) * (len(targets) // queries)
    return torch.nn.functional.cross_entropy(vectors[:queries] @ targets.T / TEMPERATURE, labels)


def hub_name(name):
    return name.replace("model.language_model.", "model.", 1).replace("model.visual.", "visual.", 1)


def adapted(model, options):
    """A PEFT model whose adapter is not the identity it begins as."""
    config = peft.LoraConfig(r=4, lora_alpha=6, lora_dropout=0.0, init_lora_weights="gaussian", **options)
    model = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(17)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            elif "lora_A" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
            elif "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def saved_names(model):
    """The adapter's parameters under the names that `save_pretrained` gives them."""
    saved = peft.get_peft_model_state_dict(model)
    parameters = {name.replace(".default", ""): value for name, value in model.named_parameters() if value.requires_grad}
    names = {}
    for name in saved:
        matching = [full for full in parameters if full == name or full == name + ".weight"]
        assert len(matching) == 1, (name, matching)
        names[name] = parameters[matching[0]]
    assert len(names) == len(parameters)
    return names


def make(kit, case):
    torch.manual_seed(5)
    model = Qwen2VLForConditionalGeneration.from_pretrained(KITS / kit, dtype=torch.float32).eval()
    out = {}
    if CASES[case] is None:
        parameters = {hub_name(name): value for name, value in model.named_parameters() if "lm_head" not in name}
        backbone = model.model
    else:
        model = adapted(model, CASES[case])
        parameters = saved_names(model)
        backbone = model.base_model.model.model
        out.update({f"adapter.{name}": value.detach().clone() for name, value in parameters.items()})
    inputs = batch()
    vectors = torch.stack([encode(backbone, item) for item in inputs["queries"] + inputs["targets"]])
    loss = info_nce(vectors, len(inputs["queries"]))
    loss.backward()
    out["vectors"], out["loss"] = vectors.detach(), loss.detach().reshape(1)
    for name, parameter in parameters.items():
        gradient = parameter.grad.flatten()
        assert gradient.norm() > 0, name
        out[f"norm.{name}"] = gradient.norm().reshape(1)
        out[f"gradient.{name}"] = gradient[:: stride(len(gradient))].clone()
    save_file({name: value.contiguous() for name, value in out.items()}, FIXTURES / f"{kit}.{case}.safetensors")
    print(f"{kit} {case}: loss {loss.item():.6f}, {len(parameters)} tensors")


def stride(length):
    """Odd, so that it meets every column of a matrix of even width in time."""
    every = -(-length // LONGEST)
    return every + 1 - every % 2


class Mask(torch.nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return x * self.mask


def make_dropout():
    out = {}
    for kind in ("lora", "dora"):
        torch.manual_seed(3)
        base = torch.nn.Sequential()
        base.add_module("layer", torch.nn.Linear(6, 5))
        base.requires_grad_(False)
        model = adapted(base, {"target_modules": ["layer"], "use_dora": kind == "dora"})
        layer = model.base_model.model.layer
        x = torch.randn(7, 6, requires_grad=True)
        mask = (torch.rand(7, 6) < 0.7) / 0.7
        layer.lora_dropout["default"] = Mask(mask)
        model.train()
        y = model(x)
        slope = torch.randn(7, 5)
        (y * slope).sum().backward()
        tensors = {
            "weight": layer.base_layer.weight, "bias": layer.base_layer.bias, "x": x, "mask": mask, "y": y, "slope": slope,
            "gradient.x": x.grad,
        }
        for name in ("lora_A", "lora_B") + (("lora_magnitude_vector",) if kind == "dora" else ()):
            parameter = getattr(layer, name)["default"].weight
            tensors[name], tensors[f"gradient.{name}"] = parameter, parameter.grad
        out.update({f"{kind}.{name}": value.detach().clone().contiguous() for name, value in tensors.items()})
    save_file(out, FIXTURES / "dropout.safetensors")


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / "batch.json").write_text(json.dumps(batch()) + "\n")
    for kit in ("grouped", "wide_heads", "single_kv"):
        for case in CASES if kit == "grouped" else ("all", "lora", "dora"):
            make(kit, case)
    make_dropout()


if __name__ == "__main__":
    main()
