"""The products of a `CountTable` as straight-line CUDA code: what the sites of a kind see, in registers.

A crystal has few kinds of site, so its clusters can be the program rather than data: every neighbour is read once, and a product is one
instruction for all the chains of a lane. Weights stay data: Hamiltonians that differ in their energies alone have the same code.
"""

from __future__ import annotations

import numpy as np

from arlattice.kernels.count_table import CountTable

__all__ = ["sites_near", "straight_line"]

_MOST_COUNTED = 255  # by a byte
_ONE = "0x01010101u"


def straight_line(table: CountTable) -> str:
    """The function ``energies_around``, for `counts.cu`: energies of a site, relative to its first species, from the state of a lane."""
    cases = []
    for kind in range(len(table.starts) - 1):
        used = _used(table, kind)
        lines = [f"const int4 l{j} = site.near({j});" for j in range(-(-len(used) // 4))]
        lines += [f"const u32 n{j} = state[l{j // 4}.{'xyzw'[j % 4]}];" for j in range(len(used))]
        for g in range(*table.starts[kind : kind + 2]):
            species = sum(1 << s for s in np.flatnonzero((table.weights[:, g] != 0).any(0)))
            lines += [f"energies.add<{species}>({part}, weights, {g});" for part in _counts(table, g, used)]
        label = "default" if kind == len(table.starts) - 2 else f"case {kind}"
        cases.append(f"{label}: {{\n" + "\n".join(lines) + "\nbreak; }")
    arguments = "const Site& site, const State& state, const Weights& weights, Energies& energies"
    head = f"__device__ __forceinline__ void energies_around({arguments}) {{\nenergies.clear();\n"
    return f"{head}switch (site.kind()) {{\n" + "\n".join(cases) + "\n}\n}\n"


def sites_near(table: CountTable, neighbours: np.ndarray, kind: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, int]:
    """The table of sites of `counts.cu`, and how many fours of features near there are.

    Args:
        table: what is counted.
        neighbours: of every site, (sites, slots).
        kind: of every site, (sites,).
        allowed: species of each site, (sites, species) bool.

    Returns:
        Kind, allowed species as bits, and the feature of every species, padded to a multiple of four; and the features that
        ``energies_around`` reads, in the order in which it does, padded likewise: (sites, a multiple of four) int32.
    """
    n_species = allowed.shape[1]
    used = [_used(table, k) for k in range(len(table.starts) - 1)]
    fours = max(1, *(-(-len(places) // 4) for places in used))
    near = np.zeros((len(kind), 4 * fours), np.int32)
    for k, places in enumerate(used):
        sites = np.flatnonzero(kind == k)[:, None]
        near[sites, np.arange(len(places))] = table.feature[neighbours[sites, places // n_species], places % n_species]
    head = np.column_stack([kind, (allowed * 2 ** np.arange(n_species)).sum(1), table.feature])
    head = np.pad(head, ((0, 0), (0, -head.shape[1] % 4)))
    return np.ascontiguousarray(np.column_stack([head, near]), np.int32), fours


def _used(table: CountTable, kind: int) -> np.ndarray:
    """Places of the products of a kind, each once."""
    groups = range(*table.starts[kind : kind + 2])
    return np.unique(np.concatenate([np.zeros(0, np.int32), *(_places(table, g).ravel() for g in groups)]))


def _places(table: CountTable, group: int) -> np.ndarray:
    """(products, factors)."""
    size, factors, first = table.sizes[group], table.factors[group], table.first[group]
    return table.places[first : first + size * factors].reshape(size, factors)


def _counts(table: CountTable, group: int, used: np.ndarray) -> list[str]:
    """Sums of products, of as many as a byte counts."""
    names = np.searchsorted(used, _places(table, group)).tolist()
    products = ["(" + " & ".join(f"n{j}" for j in product) + ")" if product else _ONE for product in names]
    return [" + ".join(products[i : i + _MOST_COUNTED]) for i in range(0, len(products), _MOST_COUNTED)]
