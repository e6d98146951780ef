"""Every metric: one row each, with the function that computes its value beside it."""
