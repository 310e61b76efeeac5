"""Training of color models; needs torch, numpy, Pillow and safetensors only."""
