"""Make models of weights and ONNX files that others published; needs torch and onnx."""
