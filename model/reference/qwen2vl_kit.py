"""What the scripts that make fixtures share: a small tokenizer of Qwen2's kind, random weights of the
Qwen2-VL architecture, and VLM2Vec-V2's way from a prompt and an image to a vector, on transformers 4.57.

Nothing here reads the network. Everything is a function of its arguments and of fixed seeds.
"""

import math

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Qwen2VLConfig, Qwen2VLImageProcessor
from transformers.models.qwen2_vl import image_processing_qwen2_vl
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel

# The names and the order of Qwen2-VL's special tokens, without the ones that only chat templates use.
SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]

# Qwen2's pre-tokenizer: contractions, words with one leading mark, single digits, punctuation, line ends, spaces.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(lines, vocab_size):
    """A byte-level BPE tokenizer with `vocab_size` entries, the special tokens last (as Qwen2's are)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    assert tokenizer.get_vocab_size() == vocab_size, tokenizer.get_vocab_size()
    return tokenizer


def make_config(tokenizer, vocab_size, text, vision):
    """A Qwen2VLConfig whose special ids are the tokenizer's."""
    return Qwen2VLConfig(
        text_config={"vocab_size": vocab_size, "max_position_embeddings": 32768, **text},
        vision_config={"hidden_size": text["hidden_size"], **vision},
        image_token_id=tokenizer.token_to_id("<|image_pad|>"),
        video_token_id=tokenizer.token_to_id("<|video_pad|>"),
        vision_start_token_id=tokenizer.token_to_id("<|vision_start|>"),
        vision_end_token_id=tokenizer.token_to_id("<|vision_end|>"),
        bos_token_id=tokenizer.token_to_id("<|endoftext|>"),
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        tie_word_embeddings=text.get("tie_word_embeddings", False),
    )


def random_weights(config, seed):
    """A Qwen2VLModel in f32 with random weights, scaled so that what a prompt holds decides its last hidden state.

    With the usual small initialisation the last token's own embedding would drown all the rest, every image would get
    the same vector, and a wrong vision tower would pass. So the embeddings are small, attention is sharp and carries
    much, biases are not zero and norm weights are not one.
    """
    model = Qwen2VLModel(config).eval()
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, scale):
        return torch.randn(shape, generator=generator, dtype=torch.float32) * scale

    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            fan_in = math.prod(parameter.shape[1:])
            if "norm" in name or ".ln_q" in name:
                parameter.copy_(normal(parameter.shape, 0.2) + (1.0 if name.endswith("weight") else 0.0))
            elif "embed_tokens" in name:
                parameter.copy_(normal(parameter.shape, 0.7))
            elif name.endswith("bias"):
                parameter.copy_(normal(parameter.shape, 0.2))
            elif "q_proj" in name or "k_proj" in name:
                parameter.copy_(normal(parameter.shape, 1.4 / math.sqrt(fan_in)))
            elif "v_proj" in name or "o_proj" in name:
                parameter.copy_(normal(parameter.shape, 1.8 / math.sqrt(fan_in)))
            else:
                parameter.copy_(normal(parameter.shape, 1.2 / math.sqrt(fan_in)))
    return model


def hub_name(name):
    """A parameter's name in the files on the hub: `model.*` for the language model, `visual.*` for the vision tower."""
    return name.replace("language_model.", "model.", 1) if name.startswith("language_model.") else name


def saved_name(name):
    """A parameter's name as transformers 4.52 and later save it."""
    return f"model.{name}"


def vlm2vec_smart_resize(height, width, factor, min_pixels, max_pixels):
    """VLM2Vec-V2's target size: transformers' rule, except that very small or very long images become squares."""
    if min(height, width) < factor or max(height, width) / min(height, width) > 200:
        height = width = max(factor, height, width)
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        rows = max(factor, math.floor(height / beta / factor) * factor)
        columns = max(factor, math.floor(width / beta / factor) * factor)
    elif rows * columns < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        rows = math.ceil(height * beta / factor) * factor
        columns = math.ceil(width * beta / factor) * factor
    return rows, columns


class ReferenceProcessor:
    """transformers' slow image processor with VLM2Vec-V2's two departures, and the parts of its work."""

    def __init__(self, min_pixels, max_pixels):
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.processor = Qwen2VLImageProcessor(min_pixels=min_pixels, max_pixels=max_pixels)

    def __call__(self, path):
        """The resized RGB pixels (height, width, 3), the patches (n, 1176) and the grid (t, h, w) of an image file."""
        pixels, patches, grid = self.process([Image.open(path).convert("RGB")], "images")
        return pixels[0], patches, grid

    def video(self, frames):
        """The same of a video's frames, RGB images of one size; the pixels are (frames, height, width, 3)."""
        return self.process(frames, "videos")

    def process(self, images, kind):
        images = [image.resize((56, 56)) if min(image.size) < 28 else image for image in images]
        width, height = images[0].size
        rows, columns = vlm2vec_smart_resize(height, width, 28, self.min_pixels, self.max_pixels)
        pixels = [np.asarray(image.resize((columns, rows), resample=Image.Resampling.BICUBIC)) for image in images]
        original = image_processing_qwen2_vl.smart_resize
        image_processing_qwen2_vl.smart_resize = (
            lambda height, width, factor, min_pixels, max_pixels: vlm2vec_smart_resize(
                height, width, factor, min_pixels, max_pixels
            )
        )
        try:
            if kind == "images":
                out = self.processor(images=images, return_tensors="pt")
                patches, grid = out["pixel_values"], out["image_grid_thw"][0]
            else:
                out = self.processor(images=None, videos=[images], return_tensors="pt")
                patches, grid = out["pixel_values_videos"], out["video_grid_thw"][0]
        finally:
            image_processing_qwen2_vl.smart_resize = original
        assert grid.tolist() == [-(-len(images) // 2), rows // 14, columns // 14]
        return np.stack(pixels), patches.float(), grid


def token_ids(tokenizer, prompt, grid):
    """The prompt's tokens, its pad token repeated once for each merged patch."""
    if grid is not None:
        merged = int(grid.prod()) // 4
        for pad in ("<|image_pad|>", "<|video_pad|>"):
            prompt = prompt.replace(pad, pad * merged)
    return torch.tensor([tokenizer.encode(prompt).ids])


def encode(model, ids, patches=None, grid=None, video=False):
    """Vision output (or None), position ids (3, tokens), last hidden state (tokens, hidden) and the vector (hidden)."""
    with torch.no_grad():
        vision = None if patches is None else model.visual(patches, grid_thw=grid[None])
        kind = {"pixel_values_videos": patches, "video_grid_thw": grid[None]} if video else {}
        if patches is not None and not video:
            kind = {"pixel_values": patches, "image_grid_thw": grid[None]}
        grids = {name: value for name, value in kind.items() if name.endswith("grid_thw")}
        positions, _ = model.get_rope_index(ids, **grids)
        model.rope_deltas = None
        hidden = model(input_ids=ids, position_ids=positions, use_cache=False, **kind).last_hidden_state[0]
        vector = torch.nn.functional.normalize(hidden[-1], dim=-1)
    return vision, positions[:, 0], hidden, vector
