"""Damage: functions from (uint8 HWC image, generator) to a damaged image and its recipe."""
