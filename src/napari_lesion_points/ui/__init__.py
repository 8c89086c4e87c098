"""The window: a dock for napari that shows a session and reports what its reader wants."""
