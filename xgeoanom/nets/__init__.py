"""Networks and what explains them: torch, nothing else."""
