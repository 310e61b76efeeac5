"""Evaluation of colorization: metrics on arrays, and the benchmark that compares models."""
