"""A picture of completions: what was known, beside some of what was drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from arlattice.errors import InputError, MissingExtraError
from arlattice.io.files import replacing
from arlattice.lattice import UNKNOWN, Lattice
from arlattice.random_numbers import known_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from arlattice.samples import SampleSet

__all__ = ["check_picture", "draw_completions"]

COLORS = ("#2b4f81", "#e8b04a", "#b5473c", "#5f9e6e", "#8a6fae", "#7f7f7f")
"""Of the species, in order; more species begin again."""

_UNKNOWN = "#ffffff"
_LEANING = np.array([0.35, 0.25])
"""How far a unit of depth moves a site to the right and up."""


def check_picture(path: str | Path) -> None:
    """Refuse a picture that cannot be drawn.

    Raises:
        InputError: another suffix than .png, .pdf or .svg, or no such folder.
        MissingExtraError: matplotlib is not installed.
    """
    if Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise InputError("picture", str(path), "give a name that ends in .png, .pdf or .svg")
    if not Path(path).parent.is_dir():
        raise InputError("picture", str(path), f"the folder {Path(path).parent} does not exist; make it first")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None


def draw_completions(samples: SampleSet, path: str | Path, *, shown: int = 3, seed: int | None = None) -> None:
    """Draw the known sites, then completions chosen by weight. Whole or not at all.

    A lattice of one layer is drawn as a grid of its cells, others as atoms seen obliquely; unknown sites are white.

    Args:
        samples: a set with ``known`` (without, nothing was known).
        path: a .png, .pdf or .svg file.
        shown: completions, at most as many as there are samples.
        seed: repeats a choice; None takes a fresh one. The file's own description keeps it.
    """
    check_picture(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lattice, shown = samples.lattice, min(shown, len(samples))
    known = torch.full((lattice.n_sites,), UNKNOWN) if samples.known is None else samples.known
    seed = known_seed(seed)
    chosen = samples.resample(shown, seed=seed).occupations
    figure = Figure(figsize=(3.2 * (1 + shown), 3.5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 1 + shown, squeeze=False)[0]
    for axes, occupations in zip(panels, [known, *chosen], strict=True):
        _draw(axes, lattice, occupations.numpy())
    panels[0].set_title(f"known: {int((known >= 0).sum())} of {lattice.n_sites} sites", fontsize=9)
    panels[(1 + shown) // 2].set_title("completed" if shown == 1 else f"{shown} completions, chosen by weight", fontsize=9)
    dots = [panels[0].scatter([], [], s=60, c=_color(s), edgecolors="0.5") for s in [*range(lattice.n_species), UNKNOWN]]
    figure.legend(dots, [*lattice.species, "unknown"], loc="outside lower center", ncols=lattice.n_species + 1, frameon=False, fontsize=9)
    suffix = Path(path).suffix[1:]
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, metadata={"Subject" if suffix == "pdf" else "Description": f"arlattice, seed {seed}"})


def _draw(axes: Axes, lattice: Lattice, occupations: np.ndarray) -> None:
    flat = lattice.supercell[2].tolist() == [0, 0, 1] and len(lattice.basis) == 1
    (_draw_grid if flat else _draw_atoms)(axes, lattice, occupations)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_grid(axes: Axes, lattice: Lattice, occupations: np.ndarray) -> None:
    """One primitive cell a site."""
    from matplotlib.collections import PolyCollection

    a, b = lattice.cell[0, :2], lattice.cell[1, :2]
    corners = np.array([-a - b, a - b, a + b, b - a]) / 2
    cells = list(lattice.positions[:, None, :2] + corners)
    axes.add_collection(PolyCollection(cells, facecolors=[_color(s) for s in occupations], edgecolors="0.8", linewidths=0.3))


def _draw_atoms(axes: Axes, lattice: Lattice, occupations: np.ndarray) -> None:
    """Circles from far to near, the supercell's longest vector to the right."""
    from matplotlib.collections import EllipseCollection

    places = _upright(lattice)
    order = np.argsort(-places[:, 1].round(6), kind="stable")
    seen = (places[:, [0, 2]] + places[:, 1:2] * _LEANING)[order]
    size = np.full(len(seen), 0.6 * _spacing(lattice))
    colors = [_color(s) for s in occupations[order]]
    circles = EllipseCollection(size, size, 0 * size, units="xy", offsets=seen, offset_transform=axes.transData, facecolors=colors)
    circles.set(edgecolor="0.3", linewidth=0.5)
    axes.add_collection(circles)
    axes.set_xlim(seen[:, 0].min() - size[0], seen[:, 0].max() + size[0])
    axes.set_ylim(seen[:, 1].min() - size[0], seen[:, 1].max() + size[0])


def _upright(lattice: Lattice) -> np.ndarray:
    """Positions (sites, 3) turned: the longest supercell vector along the first axis, the shortest in depth."""
    vectors = lattice.supercell_vectors
    longest_first = vectors[np.argsort(-np.linalg.norm(vectors, axis=1), kind="stable")]
    axes, triangle = np.linalg.qr(longest_first.T)
    turned = lattice.positions @ (axes * np.sign(triangle.diagonal()))
    return turned[:, [0, 2, 1]]


def _spacing(lattice: Lattice) -> float:
    """Distance of neighbours within the supercell."""
    between = np.linalg.norm(lattice.positions[:, None] - lattice.positions, axis=2)
    return float(between[between > 1e-6].min(initial=np.inf)) if lattice.n_sites > 1 else 1.0


def _color(species: int) -> str:
    return _UNKNOWN if species == UNKNOWN else COLORS[species % len(COLORS)]
