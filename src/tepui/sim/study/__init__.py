"""What a described cluster would do with a described workload."""
