"""Training and prediction with torch. Importing this package loads torch; the viewer's process never does."""
