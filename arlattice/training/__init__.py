"""Training: states, replay, objectives, the trainer and its files."""
