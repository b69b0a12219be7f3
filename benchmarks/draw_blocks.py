"""Pictures of the blocks in which the family `multiscale` draws a supercell, from `arlattice.decoding.scales.Scales`.

`blocks-square.png`: the square lattice 16x16, a panel a scale, then two scales in four parts. `blocks-fcc.png`: the cell of CuAu, ordered
phases in it, and the cells of the 512-atom supercell.

    python benchmarks/draw_blocks.py
    python benchmarks/draw_blocks.py --output runs
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import arlattice as arl
from arlattice.decoding.scales import Block, Cell, Scale, Scales
from arlattice.io.files import replacing
from arlattice.ordering import ordering_translations

ROOT = Path(__file__).parent.parent
CLASSES = ("tab:orange", "tab:blue", "tab:green")
SCALES = ("tab:red", "tab:orange", "tab:blue", "tab:green")
COPPER, GOLD = "#b5651d", "#ffd54a"
HIDDEN = 0.45  # how far the second axis leans to the right and up, of a cubic cell that is drawn in perspective


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, default=ROOT / "docs" / "images", help="folder (default: docs/images)")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    save(square(), folder / "blocks-square.png")
    save(fcc(), folder / "blocks-fcc.png")


def save(figure: Any, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    print(path)


def scales_of(hamiltonian: arl.Hamiltonian, parts: int = 1) -> Scales:
    """The scales that a model of the Hamiltonian draws."""
    return Scales(hamiltonian.lattice, Cell.of(hamiltonian.lattice, ordering_translations(hamiltonian)), parts)


def numbered(scales: Scales) -> Iterator[tuple[int, int, Scale, Block]]:
    """Number of the block from 1, number of the scale from 0 (the first cell), scale and block, in the order they are drawn."""
    number = itertools.count(1)
    for k, scale in enumerate(scales):
        for block in scale.blocks:
            yield next(number), k, scale, block


# -- the square lattice ----------------------------------------------------------------------------


def square() -> Any:
    """Six panels of 16x16 sites."""
    from matplotlib.figure import Figure

    hamiltonian = arl.hamiltonian("ising", supercell=(16, 16))
    whole, parted = scales_of(hamiltonian), scales_of(hamiltonian, 4)
    figure = Figure(figsize=(10.5, 7.6), layout="constrained", dpi=120)
    panels = figure.subplots(2, 3).flatten()
    titles = ["first cell, and scale 1", "scale 2", "scale 3", "scale 4, the finest"]
    for k, (axes, title) in enumerate(zip(panels[:4], titles, strict=True), 1):
        draw_scale(axes, whole, k, f"{title}: {span(whole, k)}")
    for k, axes in zip((3, 4), panels[4:], strict=True):
        draw_scale(axes, parted, k, f"scale {k} with parts = 4: {span(parted, k)}")
    return figure


def span(scales: Scales, k: int) -> str:
    """The numbers of the blocks of a scale in words; the first cell counts with scale 1."""
    numbers = [number for number, scale, *_ in numbered(scales) if scale == k or (k == 1 and scale == 0)]
    return f"blocks {numbers[0]} to {numbers[-1]}"


def draw_scale(axes: Any, scales: Scales, k: int, title: str) -> None:
    """What is known before a scale in grey, its blocks in the colour of their class with their number."""
    where = scales.lattice.positions / np.abs(scales.lattice.cell).max()
    axes.scatter(*where[:, :2].T, s=4, color="0.8")
    colours: dict[int, str] = {}
    for number, drawn_at, scale, block in numbered(scales):
        x, y = where[scale.members[block.cells, block.site], :2].T
        if drawn_at < k:
            axes.scatter(x, y, s=105, marker="s", color="0.75")
        if drawn_at > k or (drawn_at < k and k > 1):
            continue
        colour = "tab:red" if scale.root else colours.setdefault(block.label, CLASSES[len(colours)])
        axes.scatter(x, y, s=105, marker="s", color=colour)
        for place in zip(x, y, strict=True):
            axes.text(*place, str(number), ha="center", va="center", fontsize=7, color="white", fontweight="bold")
    axes.set(aspect="equal", xlim=(-0.8, 15.8), ylim=(-0.8, 15.8), xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)


# -- CuAu --------------------------------------------------------------------------------------------


def fcc() -> Any:
    """The cell and two ordered phases in it, then all cells of the supercell."""
    from matplotlib.figure import Figure

    scales = scales_of(arl.hamiltonian("cuau", supercell=(8, 8, 8), formation_energies=True))
    figure = Figure(figsize=(10.5, 8), layout="constrained", dpi=120)
    panels: dict[str, Any] = figure.subplot_mosaic([["cell", "L1_0", "L1_2"], ["all", "all", "all"]], height_ratios=[1, 1.5])
    corners = scales.cell.offsets @ scales.lattice.cell
    half = np.abs(corners)[np.abs(corners) > 0].min()
    sites = np.rint(corners / half).astype(int) % 2
    draw_cell(panels["cell"], sites, ["0.85"] * 4, "a cell of four sites, in the order they are drawn", numbers=True)
    draw_cell(panels["L1_0"], sites, [COPPER if z == 0 else GOLD for z in sites[:, 2]], "L1$_0$, CuAu: layers")
    draw_cell(panels["L1_2"], sites, [COPPER if site.any() else GOLD for site in sites], "L1$_2$, Cu$_3$Au: one of the four is gold")
    draw_cells(panels["all"], scales, 2 * half)
    return figure


def draw_cell(axes: Any, sites: np.ndarray, colours: list[str], title: str, numbers: bool = False) -> None:
    """A cubic cell with its images on the faces, in half lattice constants."""
    ends = [np.array(end) for end in itertools.product((0, 2), repeat=3)]
    for start, end in itertools.combinations(ends, 2):
        if np.abs(start - end).sum() == 2:
            axes.plot(*np.transpose([flat(start), flat(end)]), color="0.7", lw=1, zorder=0)
    places = [(site + 2 * np.array(shift), k) for k, site in enumerate(sites) for shift in itertools.product((0, 1), repeat=3)]
    for place, k in sorted((p for p in places if p[0].max() <= 2), key=lambda p: (-p[0][1], p[0][2])):
        own = bool((place == sites[k]).all()) or not numbers
        axes.scatter(*flat(place), s=320 if own else 90, c=colours[k], edgecolors="0.2" if own else "0.7", zorder=2 - place[1] / 10)
        if numbers and own:
            axes.text(*flat(place), str(k + 1), ha="center", va="center", fontsize=10, fontweight="bold", zorder=3)
    axes.set_title(title, fontsize=10)
    axes.set(aspect="equal", xlim=(-0.4, 3.3), ylim=(-0.4, 3.1))
    axes.axis("off")


def flat(place: np.ndarray) -> tuple[float, float]:
    """A point of the cell on the page."""
    x, y, z = place
    return float(x + HIDDEN * y), float(z + HIDDEN * y)


def draw_cells(axes: Any, scales: Scales, constant: float) -> None:
    """The cells of the supercell as four layers of a box of 8 x 4 x 4 cells: colour is the scale, number the block of the first site."""
    for number, k, scale, block in numbered(scales):
        if block.site:
            continue
        corners = scale.torus.points[block.cells] * scale.spacing @ scales.cell.vectors @ scales.lattice.cell
        for x, y, z in folded(np.rint(corners / constant).astype(int)):
            left, low = x + (z % 2) * 9, y - (z // 2) * 5.2
            axes.add_patch(rectangle(left, low, SCALES[k]))
            axes.text(left + 0.5, low + 0.5, str(number), ha="center", va="center", fontsize=9, color="white", fontweight="bold")
    for layer in range(4):
        axes.text((layer % 2) * 9 + 4, 4.15 - (layer // 2) * 5.2, f"layer {layer + 1} of cells", ha="center", fontsize=9)
    handles = [axes.scatter([], [], marker="s", s=80, color=colour) for colour in SCALES]
    names = ["first cell (blocks 1-4)", *(f"scale {k} ({span_of(scales, k)})" for k in (1, 2, 3))]
    axes.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False, fontsize=9)
    axes.set_title("128 cells, 512 sites; a number is the block of the first site of a cell, its other three sites follow", fontsize=10)
    axes.set(aspect="equal", xlim=(-0.2, 17.2), ylim=(-5.4, 4.8))
    axes.axis("off")


def span_of(scales: Scales, k: int) -> str:
    """The numbers of the blocks of a scale."""
    numbers = [number for number, scale, *_ in numbered(scales) if scale == k]
    return f"{numbers[0]}-{numbers[-1]}"


def rectangle(left: float, low: float, colour: str) -> Any:
    """A cell of the box."""
    from matplotlib.patches import Rectangle

    return Rectangle((left + 0.04, low + 0.04), 0.92, 0.92, color=colour, lw=0)


def folded(cells: np.ndarray) -> np.ndarray:
    """Cells of the 8x8x8 primitive supercell (in cubic cells), moved by its vectors into a box of 8 x 4 x 4."""
    x, y, z = cells.T
    x = x - 4 * ((y // 4 + z // 4) % 2)  # the vectors of the supercell are 4 (i, j, k) with i + j + k even
    return np.stack([x % 8, y % 4, z % 4], 1)


if __name__ == "__main__":
    main()
