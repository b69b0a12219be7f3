"""Exact references."""
