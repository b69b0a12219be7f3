"""The loops that numba compiles for the CPU: lookups for one configuration or chain, counts for many side by side, and clusters of bonds.

They take plain arrays; `arlattice.kernels.cpu` knows what these mean and hands out the chains to threads. numba finds the types, so none
are written. Random numbers are those of `arlattice.random_numbers`: a function of the seed, the purpose, the number of the chain and the
step.
"""
