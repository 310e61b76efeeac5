"""Many photographs: what is done to each, and the results file that has a line for each."""
