"""Batched Monte Carlo in torch: one chain a row, every chain in its own state. One move a file."""
