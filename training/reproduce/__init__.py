"""The experiments of the paper, and some that it leaves open, on a study with known lesions."""
