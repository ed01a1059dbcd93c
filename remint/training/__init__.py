"""The one training loop and what it needs: data, checkpoints, health, schedules."""
