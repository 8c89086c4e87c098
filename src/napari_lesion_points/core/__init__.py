"""Mathematics on arrays: geometry, heatmaps, fitting, matching, metrics. NumPy and SciPy only."""
