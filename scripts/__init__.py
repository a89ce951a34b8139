"""The `emporium` command line."""
