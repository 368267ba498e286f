"""The operations that other rooms ask for, under one roof: none of them imports the helper."""
