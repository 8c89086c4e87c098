"""`python -m napari_lesion_points.cli`."""

from napari_lesion_points.cli import main

if __name__ == "__main__":
    main()
