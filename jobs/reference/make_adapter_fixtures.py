"""Adapters as Hugging Face PEFT makes them, for the small checkpoints of model/tests/fixtures, and the vectors that PEFT gives
with them: model/tests/fixtures/adapters.

    python jobs/reference/make_adapter_fixtures.py

Needs torch 2.11, transformers 4.57.6, peft 0.21 and what model/reference/make_fixtures.py needs. It downloads nothing.

Each folder holds `adapter_config.json` and `adapter_model.safetensors` as `save_pretrained` writes them, and `vectors.safetensors`:
one vector for each of some cases of the checkpoint's `cases.json`. B is random, as a fresh one is zero and would change nothing.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Qwen2VLForConditionalGeneration

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "model" / "reference"))
import make_fixtures  # noqa: E402
import qwen2vl_kit as kit  # noqa: E402

FIXTURES = ROOT / "model" / "tests" / "fixtures"

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

ADAPTERS = {
    # Plain LoRA on two modules by name, f32, as the language model is adapted most often.
    "lora": {
        "base": "grouped", "dtype": torch.float32,
        "config": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]},
    },
    # VLM2Vec-V2's modules with magnitudes, saved in bf16 over a bf16 checkpoint.
    "dora": {
        "base": "wide_heads", "dtype": torch.bfloat16,
        "config": {"r": 2, "lora_alpha": 4, "target_modules": ALL, "use_dora": True, "init_lora_weights": "gaussian"},
    },
    # Everything that can be merged: both towers by a regular expression, the convolution and the embedding among them, ranks and
    # strengths by patterns, divided by the root of the rank.
    "patterns": {
        "base": "single_kv", "dtype": torch.float32,
        "config": {
            "r": 2, "lora_alpha": 3, "use_rslora": True,
            "target_modules": r".*(k_proj|down_proj|attn\.qkv|mlp\.fc1|merger\.mlp\.2|patch_embed\.proj|embed_tokens)",
            "rank_pattern": {r"layers\.[01]\.mlp\.down_proj": 4, "qkv": 1},
            "alpha_pattern": {"^model.language_model.layers.1.self_attn.k_proj": 6, "down_proj": 2, "fc1": 1.5},
        },
    },
    # Magnitudes of a convolution and of an embedding.
    "dora_all": {
        "base": "single_kv", "dtype": torch.float32,
        "config": {
            "r": 2, "lora_alpha": 3, "use_dora": True, "target_modules": ["patch_embed.proj", "embed_tokens", "o_proj", "proj"],
        },
    },
}


def cases_of(base):
    """A few of each kind that the kit's processor makes."""
    cases = json.loads((FIXTURES / base / "cases.json").read_text())
    chosen = []
    for kind, count in (("text", 3), ("image", 2), ("clip", 1)):
        lossless = [case for case in cases if case["kind"] == kind and not case.get("image", "").endswith(".jpg")]
        chosen += lossless[:count]
    return chosen


def disturb(model, seed):
    """Random B, and magnitudes that are not the weights' own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "lora_A" in name or "lora_embedding_A" in name:
                # Not what PEFT begins with, which its version decides.
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            elif "lora_B" in name or "lora_embedding_B" in name:
                parameter.copy_(noise * 0.4)
            elif "lora_magnitude_vector" in name:
                parameter.copy_(parameter * (1 + 0.3 * noise))


def main():
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(FIXTURES / "tokenizer.json"))
    for seed, (name, spec) in enumerate(ADAPTERS.items()):
        base = FIXTURES / spec["base"]
        load = lambda: Qwen2VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)  # noqa: E731
        folder = FIXTURES / "adapters" / name
        shutil.rmtree(folder, ignore_errors=True)
        # PEFT takes the folder as the base's name.
        made = get_peft_model(load(), LoraConfig(**spec["config"]))
        disturb(made, seed)
        made.peft_config["default"].base_model_name_or_path = spec["base"]
        made.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink()
        file = folder / "adapter_model.safetensors"
        save_file({key: value.to(spec["dtype"]) for key, value in load_file(file).items()}, file, metadata={"format": "pt"})

        # What was saved, loaded again.
        low, high = make_fixtures.KITS[spec["base"]]["limits"]
        cases = cases_of(spec["base"])
        plain = make_fixtures.run_cases(load().model, tokenizer, kit.ReferenceProcessor(low, high), cases)
        adapted = PeftModel.from_pretrained(load(), folder).eval()
        tensors = make_fixtures.run_cases(
            adapted.base_model.model.model, tokenizer, kit.ReferenceProcessor(low, high), cases
        )
        vectors = {case["name"]: tensors[f"{case['name']}.vector"] for case in cases}
        moved = [float(vectors[case["name"]] @ plain[f"{case['name']}.vector"]) for case in cases]
        print(f"{name}: {len(vectors)} vectors at {min(moved):.3f} to {max(moved):.3f} of the base's own")
        assert max(moved) < 0.98, "an adapter that moves nothing tests nothing"
        save_file(vectors, folder / "vectors.safetensors")
    for path in (FIXTURES / "adapters").rglob("*.safetensors"):
        path.chmod(0o644)


if __name__ == "__main__":
    main()
