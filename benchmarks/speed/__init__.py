"""What benchmarks/physics.py times, and how: the same pieces of work in arlattice and in other libraries, each in its own process."""
