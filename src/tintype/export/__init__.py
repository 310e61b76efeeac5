"""From a training run to a model that ships: ONNX files and a card; needs torch and onnx."""
