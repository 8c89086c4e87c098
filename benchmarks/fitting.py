"""Candidates from heatmaps: the same as the literal algorithm's, in how much less time, and what the options give.

`python -m benchmarks fitting` measures the rows. `python -m benchmarks.fitting --figures` draws
docs/images/fitting-*.png. `python -m benchmarks.fitting --predictions FOLDER --truth points.csv` compares the options
on heatmaps that a trained model predicted (`lesion-points predict`): they must not be worse there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.literal_fitting import one_after_the_other
from benchmarks.record import Row
from napari_lesion_points import Candidates, fit_gaussians
from napari_lesion_points.core.heatmap import draw_gaussians, peak_height

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

AREA = "fitting"
BRAIN = (64, 192, 192)  # the paper's volume
ONE = np.ones(3)
IMAGES = Path(__file__).parents[1] / "docs" / "images"
OPTIONS = {
    "the paper's": {},
    "joint": {"joint": True},
    "background": {"background": True},
    "joint and background": {"joint": True, "background": True},
}


def rows() -> Iterator[Row]:
    """Measure everything."""
    yield from _agreement()
    yield from _speed()
    yield from _options()


def _agreement() -> Iterator[Row]:
    centers, masses, found = 0.0, 0.0, 0
    for seed in range(3):
        for noise in (0.0, 0.01):
            for sigma in (ONE, np.array([0.8, 1.5, 1.1])):
                heatmap = crowd(20, seed, noise, sigma, 3)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # curve_fit's, about the covariance of fits to noise
                    literal = one_after_the_other(heatmap, sigma, whole_grid=False)
                ours = fit_gaussians(heatmap, sigma)
                if len(ours) != len(literal[1]):
                    centers = masses = np.inf
                    break
                found += len(ours)
                centers = max(centers, float(np.abs(ours.centers_vox - literal[0]).max()))
                masses = max(masses, float(np.abs(ours.mass - literal[1]).max()))
    what = "64 x 192 x 192, 20 lesions, some touching or at the border, with and without noise, two sigmas, 3 seeds"
    other = "scipy curve_fit in windows, one after the other"
    yield Row(
        AREA, f"largest difference of a centre: {what}", centers, "voxel", 0.01, "at most", f"{found} fits", other
    )
    yield Row(AREA, f"largest difference of a mass: {what}", masses, "", 0.005, "at most", f"{found} fits", other)


def _speed() -> Iterator[Row]:
    twenty = crowd(20, 0, 0.01, ONE, 0)
    published_s = _seconds(lambda: one_after_the_other(twenty, ONE, whole_grid=True, most=2), 1) / 2 * 20
    windowed_s = _seconds(lambda: one_after_the_other(twenty, ONE, whole_grid=False, most=20), 3)
    ours_s, _ = _side_by_side(partial(fit_gaussians, twenty, ONE), twenty.argmax)
    ours = f"{1000 * ours_s:.1f} ms"
    yield Row(
        AREA, "20 lesions, 64 x 192 x 192, times faster than a stand-in for the published code", published_s / ours_s,
        "x", 2000, "at least", ours, f"{published_s:.1f} s (lists all voxels for each; 2 lesions measured, times 10)",
    )  # fmt: skip
    yield Row(
        AREA, "the same, times faster than curve_fit in windows", windowed_s / ours_s, "x", 10, "at least", ours,
        f"{1000 * windowed_s:.0f} ms (scipy, one after the other)",
    )  # fmt: skip
    for count, touching, target in ((20, 0, 84), (20, 2, 84), (100, 0, 100), (100, 10, 100)):
        heatmap = crowd(count, 0, 0.01, ONE, touching)
        ours_s, argmax_s = _side_by_side(partial(fit_gaussians, heatmap, ONE), heatmap.argmax)
        beside = f"{touching} of them touching another" if touching else "none touching"
        yield Row(
            AREA, f"{count} lesions, {beside}, in passes of numpy.argmax", ours_s / argmax_s, "passes", target,
            "at most", f"{1000 * ours_s:.1f} ms", f"{1000 * argmax_s:.2f} ms (one numpy.argmax)",
        )  # fmt: skip


def _options() -> Iterator[Row]:
    distances = np.arange(2, 4.01, 0.125)
    plain, together = (pairs(distances, joint=joint) for joint in (False, True))
    noisy = pairs(distances, joint=True, noise=0.005)
    yield Row(
        AREA, "joint: largest error of a mass, pairs 2 to 4 sigma apart", 100 * together[0].max(), "%", 5, "at most",
        "fitted together", f"{100 * plain[0].max():.0f} % (one by one)",
    )  # fmt: skip
    yield Row(
        AREA, "joint: pairs that give more or fewer than two candidates", 100 * together[1].mean(), "%", 0, "at most",
        "fitted together", f"{100 * plain[1].mean():.0f} % (one by one)",
    )  # fmt: skip
    yield Row(
        AREA, "joint: the same share in noise of 0.5 % of a peak", 100 * noisy[1].mean(), "%", 0, "at most",
        "fitted together", "no noise: the row above",
    )  # fmt: skip
    without, with_term = (floors(np.array([4e-4]), background)[0] for background in (False, True))
    yield Row(
        AREA, "background: mean error of a mass over a floor of 4e-4", abs(with_term), "", 0.005, "at most",
        "with the term", f"{without:.3f} (without)",
    )  # fmt: skip
    fitted, summed = borders(np.linspace(0, 4, 9))
    yield Row(
        AREA, "largest error of a mass 0 to 4 sigma from the border, windows cut", np.abs(fitted - 1).max(), "", 0.005,
        "at most", "fitted to the voxels that are there", f"{np.abs(summed - 1).max():.2f} (window's sum)",
    )  # fmt: skip
    fit, mass, highest, bound = noises(np.array([0.05]))[:, 0]
    yield Row(
        AREA, "error of a centre in noise of 5 % of the peak, over the least possible", fit / bound, "x", 1.15,
        "at most", f"{fit:.3f} voxel root mean square",
        f"{mass:.2f} (centre of mass of the window), {highest:.2f} (highest voxel), {bound:.3f} (Cramér-Rao bound)",
    )  # fmt: skip


def crowd(count: int, seed: int, noise: float, sigma: Array, touching: int) -> NDArray[np.float32]:
    """Return a heatmap of lesions anywhere, some of them beside another; noise is in heights of a peak."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, np.array(BRAIN) - 1, (1, 3))
    while len(centers) < count - touching:
        another = rng.uniform(0, np.array(BRAIN) - 1, 3)
        if (np.abs((centers - another) / sigma).max(axis=1) > 6).all():
            centers = np.vstack([centers, another])
    beside = centers[:touching] + sigma * rng.choice([-1, 1], (touching, 3)) * [2.5, 1.5, 1.0]
    centers = np.clip(np.vstack([centers, beside]), 0, np.array(BRAIN) - 1)
    heatmap = np.zeros(BRAIN, np.float32)
    for center, mass in zip(centers, rng.uniform(0.3, 1.2, count), strict=True):
        heatmap += np.float32(mass) * draw_gaussians(BRAIN, center, sigma)
    return heatmap + rng.normal(0, noise * peak_height(sigma), BRAIN).astype(np.float32)


def pairs(distances: Array, *, joint: bool, noise: float = 0.0) -> tuple[Array, Array]:
    """(D,) largest relative error of a mass over pairs so many sigma apart; share that is not two candidates."""
    worst, wrong = np.zeros(len(distances)), np.zeros(len(distances))
    count = 40
    for d, distance in enumerate(distances):
        rng = np.random.default_rng(d)
        for _ in range(count):
            direction = rng.normal(size=3)
            first = 15 + rng.uniform(-0.5, 0.5, 3)
            centers = np.array([first, first + distance * direction / np.linalg.norm(direction)])
            mass = rng.uniform(0.5, 1.0, 2)
            heatmap = sum(m * draw_gaussians((31, 31, 31), c, ONE) for c, m in zip(centers, mass, strict=True))
            heatmap = heatmap + rng.normal(0, noise * peak_height(ONE), (31, 31, 31))
            found = fit_gaussians(heatmap, ONE, joint=joint)
            nearest = np.linalg.norm(found.centers_vox[:, None] - centers, axis=2).argmin(axis=0)
            worst[d] = max(worst[d], np.abs(found.mass[nearest] / mass - 1).max())
            wrong[d] += (len(found) != 2) / count
    return worst, wrong


def floors(levels: Array, background: bool) -> Array:
    """(L,) mean error of the masses of 27 lesions over constant floors."""
    rng = np.random.default_rng(0)
    centers = np.argwhere(np.ones((3, 3, 3))) * 15 + 10 + rng.uniform(-0.5, 0.5, (27, 3))
    heatmap = 0.7 * draw_gaussians((50, 50, 50), centers, ONE)
    errors = []
    for level in levels:
        found = fit_gaussians(heatmap + np.float32(level), ONE, background=background, max_candidates=27)
        errors.append(found.mass.mean() - 0.7)
    return np.array(errors)


def borders(depths: Array) -> Array:
    """(2, D) mean fitted mass, and mean window sum, of unit lesions so many sigma from the border."""
    rng = np.random.default_rng(0)
    masses = []
    for depth in depths:
        centers = np.stack([np.full(30, depth), *rng.uniform(10, 20, (2, 30))], axis=1)
        found = [fit_gaussians(draw_gaussians((30, 30, 30), c, ONE), ONE) for c in centers]
        masses.append([np.mean([f.mass[0] for f in found]), np.mean([f.window_sum[0] for f in found])])
    return np.array(masses).T


def noises(levels: Array) -> Array:
    """(4, L) root mean square error of a centre along an axis, voxels, for white noise of so many peak heights.

    By the fit, by the centre of mass of its window, by the highest voxel; and the Cramér-Rao bound, which is noise over
    the root of the sum of the Gaussian's squared slopes.
    """
    rng = np.random.default_rng(0)
    centers = np.argwhere(np.ones((4, 8, 8))) * 16 + 8 + rng.uniform(-0.5, 0.5, (256, 3))
    clean = draw_gaussians((64, 128, 128), centers, ONE)
    errors = []
    for level in levels:
        noise = level * peak_height(ONE)
        heatmap = clean + rng.normal(0, noise, clean.shape).astype(np.float32)
        found = fit_gaussians(heatmap, ONE, min_existence=0.5, max_candidates=300)
        nearest = np.linalg.norm(found.centers_vox[:, None] - centers, axis=2).argmin(axis=1)
        truth = centers[nearest]
        highest, middle = [], []
        for at in truth.round().astype(int):
            window = heatmap[tuple(slice(a - 3, a + 4) for a in at)]
            peak = at - 3 + np.unravel_index(window.argmax(), window.shape)
            around = np.mgrid[tuple(slice(p - 3, p + 4) for p in peak)].reshape(3, -1)
            values = heatmap[tuple(around)]
            highest.append(peak)
            middle.append(around @ values / values.sum())
        by = [np.sqrt(np.square(np.array(c) - truth).mean()) for c in (found.centers_vox, middle, highest)]
        errors.append([*by, noise * np.sqrt(16 * np.pi**1.5)])
    return np.array(errors).T


def _seconds(run: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.thread_time()
        run()
        taken.append(time.thread_time() - start)
    return min(taken)


def _side_by_side(ours: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Least seconds of processor time of either: whatever else the machine does only adds. All runs in one thread.

    Both take turns, but many times in a row each: a single pass of argmax after a fit finds the volume gone from the
    processor's cache and takes twice as long, which would halve the passes that a fit seems to take.
    """
    taken = [(_seconds(ours, 10), _seconds(other, 30)) for _ in range(4)]
    least = np.min(taken, axis=0)
    return float(least[0]), float(least[1])


def draw_figures() -> None:
    """Measure the curves and draw them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def save(name: str, x: str, y: str) -> None:
        plt.xlabel(x)
        plt.ylabel(y)
        plt.legend(frameon=False)
        plt.gca().spines[["top", "right"]].set_visible(False)
        plt.tight_layout()
        plt.savefig(IMAGES / f"fitting-{name}.png", dpi=110)
        plt.close()

    plt.rcParams.update({"figure.figsize": (5.2, 3.4), "font.size": 9})
    distances = np.arange(1, 6.01, 0.25)
    for joint, label in ((False, "one by one (the paper's)"), (True, "joint")):
        plt.semilogy(distances, 100 * pairs(distances, joint=joint)[0] + 1e-3, label=label)
    plt.axhline(5, color="0.7", lw=0.8, ls="--", label="5 %")
    save("pairs", "distance of two lesions (sigma)", "largest error of a mass (%)")

    levels = np.linspace(0, 1e-3, 11)
    for background, label in ((False, "without background term"), (True, "with background term")):
        plt.plot(1e4 * levels, floors(levels, background), label=label)
    save("background", "floor under the heatmap (1e-4 per voxel)", "mean error of a mass")

    depths = np.linspace(0, 5, 21)
    fitted, summed = borders(depths)
    plt.plot(depths, fitted, label="fitted mass")
    plt.plot(depths, summed, label="window's sum")
    save("border", "distance of a lesion from the border (sigma)", "mass of a lesion of mass 1")

    levels = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2])
    labels = ("fit", "centre of mass of the window", "highest voxel", "least possible (Cramér-Rao)")
    for curve, label, style in zip(noises(levels), labels, ("-o", "-s", "-^", ":k"), strict=True):
        plt.loglog(100 * levels, curve, style, ms=3, label=label)
    save("noise", "noise (% of the peak)", "error of a centre (voxels, root mean square)")

    counts = np.array([1, 10, 20, 40, 60, 80, 100])
    for share, label in ((0, "none touching"), (10, "one in ten beside another")):
        passes = []
        for count in counts:
            heatmap = crowd(count, 0, 0.01, ONE, count // share if share else 0)
            ours_s, argmax_s = _side_by_side(partial(fit_gaussians, heatmap, ONE), heatmap.argmax)
            passes.append(ours_s / argmax_s)
        plt.plot(counts, passes, "-o", ms=3, label=label)
    plt.axhline(100, color="0.7", lw=0.8, ls="--", label="100 passes")
    plt.ylim(0)
    save("time", "lesions in 64 x 192 x 192 voxels", "time of the fit (passes of numpy.argmax)")


def compare_on_predictions(folder: Path, truth: Path, tolerance_mm: float) -> None:
    """Print F1 and calibration of each option on predicted heatmaps."""
    from napari_lesion_points.core.heatmap import sigma_in_voxels
    from napari_lesion_points.core.metrics import (
        CaseDetections,
        best_threshold,
        expected_calibration_error,
        pooled_outcomes,
    )
    from napari_lesion_points.store.points_file import read_points
    from napari_lesion_points.store.volumes import read_volume
    from napari_lesion_points.workflow.heatmaps import noted_sigma

    lesions = read_points(truth)
    heatmaps = [(path, read_volume(path)) for path in sorted(folder.glob("*_heatmap.nii.gz"))]
    print(
        f"{len(heatmaps)} heatmaps\n| fit | candidates | F1 (best threshold) | precision | recall | ECE |\n"
        + "|---" * 6
        + "|"
    )
    for name, options in OPTIONS.items():
        cases = []
        for path, heatmap in heatmaps:
            case = path.name.removesuffix("_heatmap.nii.gz")
            sigma = sigma_in_voxels(noted_sigma(path), heatmap.grid.spacing)
            found: Candidates = fit_gaussians(heatmap.data, sigma, **options)
            there = np.array([p.world for p in lesions if p.case == case]).reshape(-1, 3)
            cases.append(CaseDetections(case, heatmap.grid.to_world(found.centers_vox), found.existence, there))
        _, figures = best_threshold(cases, tolerance_mm)
        ece, _ = expected_calibration_error(*pooled_outcomes(cases, tolerance_mm))
        count = sum(len(c.existence) for c in cases)
        print(
            f"| {name} | {count} | {figures.f1:.3f} | {figures.precision:.3f} | {figures.recall:.3f} | {ece:.3f} |",
            flush=True,
        )


def main() -> None:
    """Draw, or compare on predictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", action="store_true", help="draw docs/images/fitting-*.png")
    parser.add_argument("--predictions", type=Path, metavar="FOLDER", help="predicted heatmaps, CASE_heatmap.nii.gz")
    parser.add_argument("--truth", type=Path, metavar="CSV", help="true lesions of these cases")
    parser.add_argument("--tolerance-mm", type=float, default=12.0)
    arguments = parser.parse_args()
    if arguments.predictions and not arguments.truth:
        parser.error("--predictions needs --truth")
    if arguments.figures:
        draw_figures()
    if arguments.predictions:
        compare_on_predictions(arguments.predictions, arguments.truth, arguments.tolerance_mm)


if __name__ == "__main__":
    main()
