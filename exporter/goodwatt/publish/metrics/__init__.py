"""Every metric: one row each, next to the function that computes its value."""
