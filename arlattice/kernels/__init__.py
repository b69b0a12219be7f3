"""Energies and site updates of cluster expansions as compiled loops: numba on a CPU, CUDA on a GPU, over one compact table."""
