"""Training: photographs in, weights out, with torch, numpy, pillow and safetensors alone."""
