"""The composition root: configuration -> sources -> sampler -> HTTP. One module for each thing that it does."""
