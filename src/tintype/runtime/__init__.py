"""From a model's files to colors: registry, sessions, colorizer, sampler. Never imports torch."""
