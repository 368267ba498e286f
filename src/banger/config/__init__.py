"""What users may decide: `settings` is the table, `loader` reads config.toml by it, `sizes` reads and writes sizes."""
