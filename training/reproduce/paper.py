"""Figures of the paper (Myers-Colet et al., MILLanD 2022), in percent, from private data: the order is what to compare.

By label and detection: F1, precision, recall, recall of small lesions (3 to 10 voxels).
"""

DETECTION = {
    ("segmentation", "components"): (85.4, 85.3, 85.5, 67.7),
    ("euclidean", "components"): (80.6, 92.6, 71.4, 51.0),
    ("geodesic", "components"): (73.7, 81.0, 67.8, 47.8),
    ("heatmap", "components"): (83.9, 80.9, 87.3, 75.0),
    ("heatmap", "fitting"): (86.3, 87.0, 85.7, 70.4),
}

#: Segmentation F1 by start and share of the masks.
TRANSFER = {("detection network", 0.01): "67.2 to 67.6", ("scratch", 0.01): "60.7", ("scratch", 1.0): "70.5"}
