"""Makes model/tests/fixtures: small random Qwen2-VL checkpoints, their inputs, and transformers 4.57's outputs.

    python3 -m venv refvenv
    refvenv/bin/pip install torch==2.11.0 torchvision transformers==4.57.6 tokenizers==0.22.2 pillow==13.0.0 numpy safetensors \
                        av==18.1.0
    refvenv/bin/python model/reference/make_fixtures.py

It needs no network once the environment is there, and ffmpeg, and gives the same files each time.

fixtures/media/            images that all kits share (PNG, lossless WebP, grey, JPEG), and clips: their frames one below
                           the other in one PNG
fixtures/KIT/              one checkpoint each: config.json, safetensors, tokenizer.json (a link: one for all kits),
                           preprocessor_config.json
fixtures/media/film*       films: lossless (FFV1, in RGB and in YUV), and H.264 with B-frames
fixtures/KIT/cases.json    the kit's inputs: name, kind (text, image, page, clip, film, video, tokens), what the processor is
                           given (text, image, clip and its number of frames, film, instruction) and the whole prompt
fixtures/KIT/reference.safetensors   for each case NAME:
    NAME.token_ids   (tokens)            the language model's input, pad tokens repeated
    NAME.positions   (3, tokens)         M-RoPE positions: temporal, height, width
    NAME.resized     (height, width, 3)  uint8, after the resize; of a clip all frames, (frames, height, width, 3)
    NAME.patch_rows  (k)                 which rows of the patches are kept here (a few; all of them for a video)
    NAME.patches     (k, 1176)           those rows
    NAME.grid_thw    (3)                 patches along time, height, width
    NAME.vision      (merged, hidden)    the vision tower's output
    NAME.hidden      (tokens, hidden)    the last hidden state, after the final norm
    NAME.vector      (hidden)            the last token's, L2-normalised

The kits differ in what checkpoints differ in: hidden size, heads, key-value heads (grouped, single), depth, head size
(80 too), tied and untied embeddings, one file and shards, f32, bf16 and f16, both layouts of config.json, both ways to
name the weights, both ways to write the pixel limits. Reference outputs are computed in f32 from the stored weights.
"""

import json
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

import qwen2vl_kit as kit

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
VOCABULARY = 768

WORDS = """the a of and in to on with near over under red blue green yellow white black small large old new bright dark
bicycle street water river mountain forest city house window door table chair cat dog bird horse fish tree flower sky
cloud rain snow sun moon light shadow road bridge boat train car bus plane person child woman man hand face book paper
letter word number image video picture photo document page text query represent given content provided understand find
describe that contains following visual matches walks runs sits stands reads writes holds looks carries rides crosses
opens closes beautiful quiet busy empty full wooden stone glass metal morning evening winter summer market garden field
beach harbour station museum library kitchen office school hospital restaurant shop festival concert game""".split()

TEXTS = {
    "word": "bicycle",
    "phrase": "red bicycle near water",
    "sentence": "A woman in a white coat reads the morning paper at an empty station, and doesn't look up.",
    "marks": "  Total: 1,234.50 €  (incl. 19% VAT)\n\n\tcafé — naïve, “quoted”; 東京タワー 🚲🌊 don't  stop ",
    "long": " ".join(WORDS[(7 * i * i + 3 * i) % len(WORDS)] for i in range(160)) + ".",
}


def corpus():
    """English-like lines from the word list, the same ones each time."""
    rng = np.random.default_rng(11)
    for _ in range(4000):
        words = rng.choice(WORDS, size=int(rng.integers(3, 14)))
        yield " ".join(words).capitalize() + rng.choice([".", ".", ",", "?", "!"]) + f" {rng.integers(0, 3000)}"


def picture(seed, width, height, shapes=6):
    """A smooth gradient with a few shapes on it: it has structure at every scale and still compresses well."""
    rng = np.random.default_rng(seed)
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    wave = np.sin(6.28 * (rng.uniform(0.5, 3) * x + rng.uniform(0.5, 3) * y) + rng.uniform(0, 6))
    channels = [
        128 + rng.uniform(-70, 70) * (x - 0.5) + rng.uniform(-70, 70) * (y - 0.5) + rng.uniform(-60, 60) * wave
        for _ in range(3)
    ]
    image = Image.fromarray(np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(shapes):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right, bottom = left + int(rng.integers(2, max(3, width // 2))), top + int(rng.integers(2, max(3, height // 2)))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        (draw.ellipse if rng.integers(2) else draw.rectangle)((left, top, right, bottom), fill=colour)
    return image


# name: (file, width, height). The limits of the kits lie between 4 and 24 times 28 x 28 pixels.
IMAGES = {
    "square": ("square.png", 112, 112),
    "tall": ("tall.png", 40, 330),
    "wide": ("wide.png", 500, 45),
    "tiny": ("tiny.png", 19, 12),
    "thin": ("thin.png", 300, 9),
    "small": ("small.png", 30, 33),
    "large": ("large.png", 420, 310),
    "halfway_down": ("halfway_down.png", 126, 70),
    "halfway_up": ("halfway_up.png", 42, 98),
    "extreme": ("extreme.png", 28, 5630),
    "webp": ("lossless.webp", 133, 101),
    "grey": ("grey.png", 150, 90),
    "jpeg": ("photo.jpg", 240, 180),
    "jpeg_444": ("photo_444.jpg", 84, 140),
    "jpeg_grey": ("grey.jpg", 120, 120),
    "jpeg_progressive": ("progressive.jpg", 200, 97),
}


# name: (frames, width, height): odd sizes, portrait, tiny, as large as the limits and larger; every number of frames up to
# the reference's 8 that is a case of its own (one, a pair, odd ones), and more.
CLIPS = {
    "one": (1, 90, 60),
    "two": (2, 61, 47),
    "three": (3, 45, 117),
    "five": (5, 20, 12),
    "eight": (8, 96, 72),
    "wide": (8, 211, 43),
    "nine": (9, 30, 27),
    "large": (4, 260, 150),
}


def clip(seed, count, width, height):
    """A shape that moves over a gradient that changes: every frame differs, and the order of frames shows."""
    ground = picture(seed, width, height, shapes=2)
    rng = np.random.default_rng(seed)
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    for number in range(count):
        frame = ground.point(lambda value, number=number: min(255, value + 9 * number))
        left, top = number * width // (count + 1), number * height // (2 * count)
        ImageDraw.Draw(frame).rectangle((left, top, left + width // 4, top + height // 3), fill=colour)
        yield frame


def make_clips(folder):
    for seed, (name, (count, width, height)) in enumerate(CLIPS.items(), start=200):
        sheet = Image.new("RGB", (width, count * height))
        for number, frame in enumerate(clip(seed, count, width, height)):
            sheet.paste(frame, (0, number * height))
        sheet.save(folder / f"clip_{name}.png", optimize=True)


# name: (file, seed, frames, width, height, encoding). Not as many frames as can be taken evenly.
FILMS = {
    # An odd size.
    "film": ("film.mkv", 300, 21, 59, 45, "-c:v ffv1 -pix_fmt bgr0"),
    "film_yuv": ("film_yuv.mkv", 302, 17, 42, 32, "-c:v ffv1 -pix_fmt yuv420p"),
    # Key frames between, and B-frames before them.
    "film_h264": (
        "film.mp4", 301, 40, 70, 52,
        "-c:v libx264 -preset slow -crf 26 -g 16 -bf 3 -b_strategy 0 -pix_fmt yuv420p -colorspace bt709",
    ),
}


def make_films(folder):
    for file, seed, count, width, height, encoding in FILMS.values():
        command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "10"]
        command += ["-i", "-", *encoding.split(), "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
        frames = b"".join(frame.tobytes() for frame in clip(seed, count, width, height))
        subprocess.run([*command, folder / file], input=frames, check=True)


def frames_of_film(path, count=8):
    """So many uniform frames, or all, as VLM2Vec's reader of videos takes them."""
    with av.open(path) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    places = np.linspace(0, len(frames) - 1, count).astype(int) if len(frames) > count else range(len(frames))
    return [frames[place] for place in places]


def frames_of(case):
    """The frames of a case's clip, as the reference's video readers give them."""
    if "film" in case:
        return frames_of_film(FIXTURES / "media" / case["film"])
    sheet = Image.open(FIXTURES / "media" / case["clip"]).convert("RGB")
    height = sheet.height // case["frames"]
    return [sheet.crop((0, top, sheet.width, top + height)) for top in range(0, sheet.height, height)]


def make_media(folder):
    folder.mkdir()
    for seed, (file, width, height) in enumerate(IMAGES.values(), start=100):
        image = picture(seed, width, height)
        if file.startswith("grey"):
            image = image.convert("L")
        options = {
            "lossless.webp": {"lossless": True, "method": 6},
            "photo.jpg": {"quality": 88},
            "photo_444.jpg": {"quality": 92, "subsampling": 0},
            "grey.jpg": {"quality": 90},
            "progressive.jpg": {"quality": 85, "progressive": True},
        }.get(file, {"optimize": True})
        image.save(folder / file, **options)


def make_cases(images, clips, films, with_vision_start):
    """The kit's inputs. Those of kind `tokens` have prompts that the processor does not make (GME's)."""
    cases = [{"name": f"text_{name}", "kind": "text", "text": text, "prompt": text} for name, text in TEXTS.items()]
    instruction = "Find a video that contains the following visual content:"
    cases.append({
        "name": "text_instructed", "kind": "text", "text": TEXTS["phrase"], "instruction": instruction,
        "prompt": f"{instruction} {TEXTS['phrase']}",
    })
    for name in images:
        cases.append({
            "name": f"image_{name}", "kind": "image", "image": IMAGES[name][0],
            "prompt": "<|image_pad|> Represent the given image.",
        })
    cases.append({
        "name": "image_instructed", "kind": "image", "image": IMAGES[images[0]][0], "instruction": "What is shown here?",
        "prompt": "<|image_pad|> What is shown here?",
    })
    cases.append({
        "name": "video", "kind": "video", "grid": [4, 2, 2],
        "prompt": "<|video_pad|> Understand the content of the provided video.",
    })
    if with_vision_start:
        chat = "<|im_start|>user\n<|vision_start|>{}<|vision_end|>Represent the given image.<|im_end|>\n"
        chat += "<|im_start|>assistant\n<|endoftext|>"
        for name in images[:3]:
            cases.append({
                "name": f"vision_start_{name}", "kind": "tokens", "image": IMAGES[name][0],
                "prompt": chat.format("<|image_pad|>"),
            })
        cases.append({
            "name": "vision_start_video", "kind": "video", "grid": [2, 4, 2], "prompt": chat.format("<|video_pad|>"),
        })

    cases.append({
        "name": "page", "kind": "page", "image": IMAGES[images[0]][0],
        "prompt": "<|image_pad|> Understand the content of the provided document image.",
    })
    fields = {name: {"clip": f"clip_{name}.png", "frames": CLIPS[name][0]} for name in clips}
    for name in clips:
        cases.append({
            "name": f"clip_{name}", "kind": "clip", **fields[name],
            "prompt": "<|video_pad|> Understand the content of the provided video.",
        })
    cases.append({
        "name": "clip_instructed", "kind": "clip", **fields[clips[0]], "instruction": "What moves here?",
        "prompt": "<|video_pad|> What moves here?",
    })
    for name in films:
        cases.append({
            "name": name, "kind": "film", "film": FILMS[name][0],
            "prompt": "<|video_pad|> Understand the content of the provided video.",
        })
    if with_vision_start:
        for name in clips[:2]:
            cases.append({
                "name": f"vision_start_clip_{name}", "kind": "tokens", **fields[name],
                "prompt": chat.format("<|video_pad|>"),
            })
    return cases


def video_patches(seed, grid):
    """Patches of made-up frames: each patch a colour with a little noise, in the range of normalised pixels."""
    generator = torch.Generator().manual_seed(seed)
    count = grid[0] * grid[1] * grid[2]
    base = torch.randn(count, 3, 1, generator=generator)
    noise = torch.randn(count, 3, 392, generator=generator)
    # Rounded so that the file compresses in git; the model sees the rounded values.
    return ((base + 0.3 * noise).reshape(count, 1176) * 32).round() / 32


def run_cases(model, tokenizer, processor, cases):
    tensors, vectors = {}, {}
    for index, case in enumerate(cases):
        name, grid, patches = case["name"], None, None
        if "image" in case or "clip" in case or "film" in case:
            is_image = "image" in case
            pixels, patches, grid = (
                processor(FIXTURES / "media" / case["image"]) if is_image else processor.video(frames_of(case))
            )
            rows = torch.arange(0, patches.shape[0], patches.shape[0] // 2 + 1)
            tensors[f"{name}.resized"] = torch.from_numpy(pixels.copy())
            tensors[f"{name}.patch_rows"] = rows
            tensors[f"{name}.patches"] = patches[rows]
        elif case["kind"] == "video":
            grid = torch.tensor(case["grid"])
            patches = video_patches(1000 + index, case["grid"])
            tensors[f"{name}.patch_rows"] = torch.arange(patches.shape[0])
            tensors[f"{name}.patches"] = patches
        ids = kit.token_ids(tokenizer, case["prompt"], grid)
        is_video = case["kind"] == "video" or "clip" in case or "film" in case
        vision, positions, hidden, vector = kit.encode(model, ids, patches, grid, video=is_video)
        plain = torch.arange(ids.shape[1]).expand(3, -1)
        assert torch.equal(positions, plain) == ("vision_start" not in case["prompt"]), name
        tensors[f"{name}.token_ids"] = ids[0]
        tensors[f"{name}.positions"] = positions
        if grid is not None:
            tensors[f"{name}.grid_thw"] = grid
            tensors[f"{name}.vision"] = vision
        tensors[f"{name}.hidden"] = hidden
        tensors[f"{name}.vector"] = vector
        vectors[name] = vector
    stack = torch.stack(list(vectors.values()))
    cosine = stack @ stack.T - 2 * torch.eye(len(stack))
    highest = int(cosine.argmax())
    names = list(vectors)
    pair = names[highest // len(names)], names[highest % len(names)]
    print(f"  {len(cases)} cases; the closest two: {pair} at {cosine.max():.4f}; mean {cosine[cosine > -0.9].mean():.3f}")
    assert cosine.max() < 0.98, "two inputs are too close for the kit to tell a wrong encoder"
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def save_weights(folder, model, dtype, naming, shards, tied):
    weights = {naming(name): value.detach().to(dtype).contiguous() for name, value in model.named_parameters()}
    if not tied:
        embedding = model.language_model.embed_tokens.weight
        generator = torch.Generator().manual_seed(5)
        weights["lm_head.weight"] = torch.randn(embedding.shape, generator=generator).to(dtype)
    names = sorted(weights)
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    parts = [names[i::shards] for i in range(shards)]
    weight_map, total = {}, 0
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in part}
        total += sum(weights[name].nbytes for name in part)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def written_config(config, dtype, flat):
    """config.json in one of its two layouts: the hub's Qwen2-VL files keep the text model's fields at the top."""
    dtype = str(dtype).removeprefix("torch.")
    nested = json.loads(config.to_json_string(use_diff=True))
    if not flat:
        return nested | {"architectures": ["Qwen2VLForConditionalGeneration"], "dtype": dtype}
    text, vision = config.text_config, config.vision_config
    ids = ["image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"]
    fields = [
        "hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings", "max_window_layers",
        "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps", "rope_theta",
        "use_sliding_window", "tie_word_embeddings", "vocab_size",
    ]
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **{name: getattr(config, name) for name in ids},
        **{name: getattr(text, name) for name in fields},
        "sliding_window": 32768,
        "rope_scaling": {"type": "mrope", "mrope_section": text.rope_scaling["mrope_section"]},
        "torch_dtype": dtype,
        "vision_config": {
            "depth": vision.depth, "embed_dim": vision.embed_dim, "mlp_ratio": vision.mlp_ratio,
            "num_heads": vision.num_heads, "in_chans": 3, "hidden_size": vision.hidden_size, "patch_size": 14,
            "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2,
        },
    }


KITS = {
    # The hub's layout and names, one f32 file, tied embeddings, grouped key-value heads, head size 16.
    "grouped": {
        "seed": 1, "dtype": torch.float32, "naming": kit.hub_name, "shards": 1, "flat": True,
        "limits": (4 * 784, 24 * 784), "images": list(IMAGES), "clips": list(CLIPS), "films": list(FILMS),
        "vision_start": True,
        "text": {
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": True,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        },
        "vision": {"embed_dim": 48, "num_heads": 3, "depth": 3, "mlp_ratio": 4},
    },
    # Saved by a recent transformers: nested config, long names, three bf16 shards, head size 80 in both towers, no groups.
    "wide_heads": {
        "seed": 2, "dtype": torch.bfloat16, "naming": kit.saved_name, "shards": 3, "flat": False,
        "limits": (4 * 784, 9 * 784), "vision_start": False,
        "images": ["tall", "square", "large", "halfway_down", "jpeg"], "clips": ["three", "eight", "five"],
        "films": ["film", "film_h264"],
        "text": {
            "hidden_size": 160, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 12, 12]},
        },
        "vision": {"embed_dim": 80, "num_heads": 1, "depth": 2, "mlp_ratio": 1},
    },
    # f16, the hub's names in two shards, one key-value head, an odd head size, deeper text model, other pixel limits.
    "single_kv": {
        "seed": 3, "dtype": torch.float16, "naming": kit.hub_name, "shards": 2, "flat": True,
        "limits": (8 * 784, 20 * 784), "vision_start": True,
        "images": ["wide", "tiny", "webp", "grey", "halfway_up", "jpeg_444"], "clips": ["two", "wide", "large", "one"],
        "films": ["film", "film_yuv"],
        "text": {
            "hidden_size": 84, "intermediate_size": 120, "num_hidden_layers": 4, "num_attention_heads": 3,
            "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "tie_word_embeddings": True,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 5, 5]},
        },
        "vision": {"embed_dim": 56, "num_heads": 2, "depth": 1, "mlp_ratio": 2},
    },
}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in ("media", *KITS):
        shutil.rmtree(FIXTURES / name, ignore_errors=True)
    make_media(FIXTURES / "media")
    make_clips(FIXTURES / "media")
    make_films(FIXTURES / "media")
    tokenizer = kit.train_tokenizer(corpus(), VOCABULARY)
    tokenizer.save(str(FIXTURES / "tokenizer.json"), pretty=False)
    for name, spec in KITS.items():
        print(name)
        folder = FIXTURES / name
        folder.mkdir()
        # The embedding has more rows than the tokenizer has tokens, as in the published checkpoints.
        config = kit.make_config(tokenizer, VOCABULARY + 16, spec["text"], spec["vision"])
        model = kit.random_weights(config, spec["seed"])
        with torch.no_grad():
            # The parameters alone: the rotary frequencies are buffers and stay f32, as they do when a checkpoint is loaded.
            for parameter in model.parameters():
                parameter.copy_(parameter.to(spec["dtype"]).to(torch.float32))
        save_weights(
            folder, model, spec["dtype"], spec["naming"], spec["shards"], spec["text"]["tie_word_embeddings"]
        )
        written = written_config(config, spec["dtype"], spec["flat"])
        (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
        low, high = spec["limits"]
        processor_config = {
            "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        }
        if spec["flat"]:
            processor_config |= {"min_pixels": low, "max_pixels": high}
        else:
            processor_config |= {"size": {"shortest_edge": low, "longest_edge": high}}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor_config, indent=2) + "\n")
        (folder / "tokenizer.json").symlink_to("../tokenizer.json")
        cases = make_cases(spec["images"], spec["clips"], spec["films"], spec["vision_start"])
        (folder / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
        save_file(run_cases(model, tokenizer, kit.ReferenceProcessor(low, high), cases), folder / "reference.safetensors")
    for path in FIXTURES.rglob("*.safetensors"):
        path.chmod(0o644)


if __name__ == "__main__":
    main()
