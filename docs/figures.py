"""Makes the pictures of README and docs from synthetic video: ``python docs/figures.py``, in less than a minute.

It needs the extras ``cli`` and ``plot``. The segmenter is that of ``flame-metric demo``; latencies are the paper's, and
those of a trace with made-up jitter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from flame_metric import LatencyTrace, OffsetBank, Schedule, StreamConfig, StreamStatistics, latency_report
from flame_metric import simulate_stream as simulate
from flame_metric.data.images import write_gif
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.demo import ColourClassifier
from flame_metric.figures import (
    flame_panels,
    on_screen,
    palette,
    panel_grid,
    plot_class_losses,
    plot_latencies,
    plot_latency_curve,
    plot_latency_strip,
    plot_staleness,
    plot_timeline,
)
from flame_metric.networks.network import fill_bank
from flame_metric.paper.published import paper_table
from flame_metric.scores.ranking import Contender

FPS = paper_table().fps
NETWORKS = {network.name: network.latency_ms for network in paper_table().networks.values()}
STYLE = {"palette": palette(CLASS_NAMES), "ignore_index": VOID}
DPI = 110


def segmenter(height: int) -> ColourClassifier:
    """Fit the segmenter on videos of a height."""
    videos = [synthetic_video(num_frames=6, height=height, width=2 * height, fps=2, seed=1000 + n) for n in range(6)]
    return ColourClassifier(len(CLASS_NAMES)).fit(videos)


def scores(folder: Path) -> None:
    """Draw what late predictions are worth: over latency, and for each class."""
    segment = segmenter(128)
    bank = OffsetBank(
        len(CLASS_NAMES), max_offset=8, fps=FPS, ignore_index=VOID, class_names=CLASS_NAMES, persistence=True
    )
    for seed in range(6):
        fill_bank(bank, segment, synthetic_video(num_frames=18, height=128, width=256, fps=FPS, seed=seed))
    losses = {name: bank.losses(latency) for name, latency in sorted(NETWORKS.items(), key=lambda item: item[1])}
    networks = [Contender(f"as slow as {name}", one.flame, one.static, one.streaming) for name, one in losses.items()]
    figure, _ = plot_latency_curve({"segmenter": bank.curve()}, networks=networks)
    figure.savefig(folder / "latency_curve.png", dpi=DPI)
    slowest = list(losses.values())[-1]
    figure, ax = plot_class_losses(slowest.static, slowest.flame, slowest.streaming)
    ax.set_title(f"What each class loses at {slowest.flame.config.latency_ms:.0f} ms", loc="left")
    figure.savefig(folder / "class_losses.png", dpi=DPI)


def streams(folder: Path) -> None:
    """Draw what runs on a stream, how old what is on screen is, and latencies that jitter."""
    figure, _ = plot_timeline(simulate(90, num_frames=40, fps=FPS), draw=16)
    figure.savefig(folder / "timeline.png", dpi=DPI)
    jitter = np.random.default_rng(0).gamma(2.0, 3.0, 1000)
    trace = LatencyTrace([round(50 + float(extra), 3) for extra in jitter])
    figure, _ = plot_latencies(latency_report(trace, fps=FPS))
    figure.savefig(folder / "latencies.png", dpi=DPI)
    configs = {"one worker, frames dropped": StreamConfig(), "one worker, every fourth frame": StreamConfig(stride=4)}
    ages = {
        name: StreamStatistics.from_schedules([simulate(195, one, num_frames=500, fps=FPS)])
        for name, one in configs.items()
    }
    ages = {"FLAME, a worker for every frame": StreamStatistics.from_schedules([Schedule.fixed(500, 4)]), **ages}
    figure, _ = plot_staleness(ages)
    figure.savefig(folder / "staleness.png", dpi=DPI)


def videos(folder: Path) -> None:
    """Lay predictions over the frames that are current when they are ready."""
    video = synthetic_video(num_frames=20, height=384, width=768, fps=FPS, seed=4)
    frames, labels = zip(*zip(video.frames, video.targets, strict=True), strict=True)
    pred = segmenter(384)(frames[8])
    panels = shrunk(flame_panels(frames[8], frames[12], pred, labels[12], line_width=2, **STYLE), 2)
    few = Image.fromarray(panels).quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(folder / "overlay.png", optimize=True)
    figure, _ = plot_latency_strip(
        frames, labels, frame=12, latencies_ms=[0, 76, 195], fps=FPS, class_names=CLASS_NAMES, **STYLE
    )
    figure.savefig(folder / "latency_strip.png", dpi=105)
    schedules = Schedule.fixed(20, 0), simulate(195, num_frames=20, fps=FPS)
    streams = (on_screen(frames, labels, schedule, line_width=3, **STYLE) for schedule in schedules)
    pairs = [panel_grid([shrunk(picture, 3) for picture in pair]) for pair in zip(*streams, strict=True)]
    write_gif(folder / "stream.gif", pairs[8:], fps=FPS / 3, colours=40)


def shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of pixels, which takes the sensor noise away too."""
    height, width = (size // factor for size in picture.shape[:2])
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("images"), help="folder for the pictures")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (scores, streams, videos):
        draw(folder)
    for file in sorted(folder.iterdir()):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
