"""Windows of a video and pages of a PDF a second, from bytes to patches, beside Python's readers. scripts/bench runs it.

    VENV/bin/python benchmarks/media.py video [FILE] [--threads 1 2] [--seconds S] [--rounds N]
    VENV/bin/python benchmarks/media.py pages FILE.pdf [--seconds S] [--rounds N]

video  A clip of 10 minutes of 720p H.264 (made by ffmpeg if none is named), in windows of 30 s of 8 frames each: here; by PyAV,
       which seeks to a window and decodes it; by decord and torchcodec, which are asked for 8 frames by their numbers. Each
       opens the file anew for every pass. The peers' frames go through transformers' video processor (torchvision).
pages  Every page at 300 dots per inch: here; by one pdftoppm for all of them, whose bitmaps Pillow reads and transformers'
       slow image processor (Pillow) resizes.

The sides take turns, and the medians are compared, so that a load from elsewhere meets all.
"""

import argparse
import io
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
FRAMES, WINDOW = 8, 30.0
LIMITS = {"min_pixels": 56 * 56, "max_pixels": 1280 * 28 * 28}


def uniform(count):
    import numpy

    return numpy.linspace(0, count - 1, min(FRAMES, count)).astype(int).tolist()


def to_patches(process, frames):
    """`frames`: uint8 tensors, channels first."""
    import torch

    return process(videos=[torch.stack(frames)], return_tensors="pt")["pixel_values_videos"]


def pyav(path, threads, process):
    import av
    import torch

    windows = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        duration = float(stream.duration * stream.time_base)
        start = 0.0
        while start < duration:
            container.seek(int(start / stream.time_base), stream=stream)
            frames = []
            for frame in container.decode(stream):
                if frame.time >= start + WINDOW:
                    break
                if frame.time >= start:
                    frames.append(frame)
            chosen = [torch.from_numpy(frames[i].to_ndarray(format="rgb24")).permute(2, 0, 1) for i in uniform(len(frames))]
            to_patches(process, chosen)
            windows, start = windows + 1, start + WINDOW
    return windows


def by_numbers(frames_of, times, process):
    windows, start = 0, 0.0
    while start <= times[-1]:
        inside = [index for index, seen in enumerate(times) if start <= seen < start + WINDOW]
        to_patches(process, frames_of([inside[i] for i in uniform(len(inside))]))
        windows, start = windows + 1, start + WINDOW
    return windows


def decord(path, threads, process):
    import decord
    import torch

    reader = decord.VideoReader(str(path), num_threads=threads)
    times = reader.get_frame_timestamp(range(len(reader)))[:, 0].tolist()

    def frames(numbers):
        return list(torch.from_numpy(reader.get_batch(numbers).asnumpy()).permute(0, 3, 1, 2))

    return by_numbers(frames, times, process)


def torchcodec(path, threads, process):
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=threads)
    rate = decoder.metadata.average_fps
    times = [index / rate for index in range(decoder.metadata.num_frames)]
    return by_numbers(lambda numbers: list(decoder.get_frames_at(numbers).data), times, process)


def ours(path, threads, seconds):
    run = subprocess.run([EXAMPLES / "video_speed", path, str(threads), str(seconds)], check=True, capture_output=True, text=True)
    rate, share = re.match(r"([\d.]+) windows a second.*; ([\d.]+) % of", run.stdout).groups()
    return float(rate), float(share)


def video(arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "clip.mp4"
        if not arguments.file:
            print("making the clip", flush=True)
            source = "testsrc2=size=1280x720:rate=25:duration=600,noise=alls=8:allf=t"
            subprocess.run(
                ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast", "-crf", "30",
                 "-pix_fmt", "yuv420p", path], check=True)
        from transformers.models.qwen2_vl import Qwen2VLVideoProcessor

        process = Qwen2VLVideoProcessor(**LIMITS, do_sample_frames=False)
        peers = {"PyAV": pyav, "decord": decord, "torchcodec": torchcodec}
        print("| threads | here | share of frames decoded | " + " | ".join(f"{peer} | ratio" for peer in peers) + " |")
        print("| --- " * (3 + 2 * len(peers)) + "|")
        for threads in arguments.threads:
            import torch

            torch.set_num_threads(threads)
            here, shares, rates = [], [], {peer: [] for peer in peers}
            for _ in range(arguments.rounds):
                rate, share = ours(path, threads, arguments.seconds)
                here.append(rate)
                shares.append(share)
                for name, peer in peers.items():
                    started = time.perf_counter()
                    windows = peer(path, threads, process)
                    rates[name].append(windows / (time.perf_counter() - started))
            rate = statistics.median(here)
            cells = [f"{statistics.median(of):.2f} | {rate / statistics.median(of):.2f}" for of in rates.values()]
            print(f"| {threads} | {rate:.2f} | {shares[0]:.0f} % | " + " | ".join(cells) + " |", flush=True)


def poppler(path, process):
    """One pdftoppm for all pages."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["pdftoppm", "-r", "300", path, f"{folder}/page"], check=True)
        for page in sorted(Path(folder).iterdir()):
            process(images=[Image.open(io.BytesIO(page.read_bytes())).convert("RGB")], return_tensors="np")


def pages(arguments):
    said = subprocess.run(["pdfinfo", arguments.file], check=True, capture_output=True, text=True).stdout
    count = int(re.search(r"Pages:\s+(\d+)", said).group(1))
    from transformers.models.qwen2_vl import Qwen2VLImageProcessor

    process = Qwen2VLImageProcessor(**LIMITS)
    here, peer = [], []
    for _ in range(arguments.rounds):
        run = subprocess.run([EXAMPLES / "page_speed", arguments.file, str(arguments.seconds)], check=True, capture_output=True,
                             text=True)
        here.append(float(run.stdout.split()[0]))
        started = time.perf_counter()
        poppler(arguments.file, process)
        peer.append(count / (time.perf_counter() - started))
    print("| pages a second, here | pdftoppm and Pillow | ratio |\n| --- | --- | --- |")
    print(f"| {statistics.median(here):.2f} | {statistics.median(peer):.2f} | {statistics.median(here) / statistics.median(peer):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["video", "pages"])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "pages" and not arguments.file:
        parser.error("pages needs a FILE.pdf")
    {"video": video, "pages": pages}[arguments.what](arguments)


if __name__ == "__main__":
    main()
