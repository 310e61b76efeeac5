"""Export of a training run to ONNX files and a card; needs torch and onnx."""
