"""Figures of trained models beside exact and Monte Carlo references; `benchmarks/evaluate_models.py` is the command."""
