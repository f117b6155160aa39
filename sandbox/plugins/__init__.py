"""Stand-ins for Pulumi plugins, in Python, for machines that can't download the official ones."""
