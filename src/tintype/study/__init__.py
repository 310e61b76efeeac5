"""The Visual Turing Test: people are shown a photograph and its colouring, and say which is true.

Prepared by `create`, served by `app` over `storage`, analysed by `analysis` with `statistics`.
"""
