"""From luminance to chroma: model cards, ONNX sessions and the engine. Never imports torch."""
