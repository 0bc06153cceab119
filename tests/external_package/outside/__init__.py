"""A package of somebody else, with two models and a reader."""
