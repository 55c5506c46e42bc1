"""Makes model/demo: the checkpoint that is built into the program, so that nothing needs a download.

    refvenv/bin/python model/reference/make_demo_checkpoint.py      (the environment of make_fixtures.py)

The real Qwen2-VL architecture at a small size, in bf16, at most 8 MB with its tokenizer. The weights are random: equal
inputs get equal vectors and different inputs different ones, and that is all that they promise until a trained checkpoint
takes their place. The tokenizer is a real one, a byte-level BPE trained on the English of Python's own manual and
docstrings (of the interpreter that runs this script: the committed files come from Python 3.11.7). The same interpreter
gives the same files each time.
"""

import ast
import json
import pydoc_data.topics
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file

import qwen2vl_kit as kit

DEMO = Path(__file__).resolve().parent.parent / "demo"
VOCABULARY = 4096
SEED = 20

TEXT = {
    "hidden_size": 256, "intermediate_size": 448, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True,
    "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
}
VISION = {"embed_dim": 128, "num_heads": 4, "depth": 3, "mlp_ratio": 4}

# 144 merged patches at most (336 x 336 pixels): quick on a CPU.
PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
    "min_pixels": 4 * 28 * 28, "max_pixels": 144 * 28 * 28,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def corpus():
    """Paragraphs of Python's manual, then the docstrings of its pure-Python standard library."""
    for _, topic in sorted(pydoc_data.topics.topics.items()):
        yield from topic.split("\n\n")
    for module in sorted(sys.stdlib_module_names):
        spec = find_spec(module) if not module.startswith("_") and module not in ("antigravity", "this") else None
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            continue
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                docstring = ast.get_docstring(node)
                if docstring:
                    yield docstring


def main():
    DEMO.mkdir(exist_ok=True)
    tokenizer = kit.train_tokenizer(corpus(), VOCABULARY)
    tokenizer.save(str(DEMO / "tokenizer.json"), pretty=False)
    config = kit.make_config(tokenizer, VOCABULARY, TEXT, VISION)
    model = kit.random_weights(config, SEED)
    weights = {
        kit.saved_name(name): value.detach().to(torch.bfloat16).contiguous()
        for name, value in model.named_parameters()
    }
    save_file(weights, DEMO / "model.safetensors", metadata={"format": "pt"})
    (DEMO / "model.safetensors").chmod(0o644)
    written = json.loads(config.to_json_string(use_diff=True))
    written |= {"architectures": ["Qwen2VLForConditionalGeneration"], "dtype": "bfloat16"}
    (DEMO / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    (DEMO / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    total = sum(path.stat().st_size for path in DEMO.iterdir())
    print(f"{total / 1e6:.2f} MB")
    assert total <= 8_000_000, "the demo checkpoint may have 8 MB"


if __name__ == "__main__":
    main()
