"""Trained models as MLflow serves them: images as base64 text in and out."""
