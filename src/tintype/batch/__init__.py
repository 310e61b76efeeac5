"""Color many photographs: here or on a cluster, from a manifest, with a results file."""
