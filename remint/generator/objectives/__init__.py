"""What a generator can be trained by: one objective a file, `base` what they share."""
