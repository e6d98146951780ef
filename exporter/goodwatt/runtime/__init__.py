"""What runs while goodwatt serves: the sampler, the set of sources it reads, reloads and shutdown."""
