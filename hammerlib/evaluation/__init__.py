"""Evaluation: samples, pass@k and majority@k with intervals, one record per run."""
