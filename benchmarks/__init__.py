"""Side-by-side measurements: ours and an alternative, in one run on one machine. `make bench` runs them."""
