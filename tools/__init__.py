"""Programs around the deployment: the virtual environment, the lock files and the generated documentation."""
