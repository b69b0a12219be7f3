"""Monte Carlo references of binary alloys on the FCC lattice; `benchmarks/reference_cuau.py` is the command."""
