"""Weights and ONNX files that others published, made into models of ours; needs torch and onnx."""
