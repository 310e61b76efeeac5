"""Inference: registry, ONNX Runtime sessions, colorizer and sampler; does not import torch."""
