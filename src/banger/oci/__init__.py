"""Images from registries, directories and archives: fetched, merged in memory, written as one ext4 file."""
