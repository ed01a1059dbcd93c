"""What both training stages share: one run at a time, the training log, served models."""
