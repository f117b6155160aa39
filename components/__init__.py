"""What is deployed: one concern per file, one component per store or workload."""
