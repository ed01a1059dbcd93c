"""MLflow: runs, delivery of metrics, provenance; the only room that imports mlflow."""
