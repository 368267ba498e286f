"""What users may decide: `settings` is the table, `loader` reads config.toml by it, `report` tells what is in force."""
