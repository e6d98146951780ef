"""The running process: the sampler, the set of sources it reads, reloads and shutdown."""
