"""Image restoration and generation with GANs: the pure core, free of orchestration."""
