"""Recipes: how the models and figures of this project were made. Algorithms are in the package."""
