"""What a finished run recommends, for people to look at and for files."""
