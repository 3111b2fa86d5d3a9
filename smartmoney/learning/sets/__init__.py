"""Training sets: feature rows each second with what they are to foretell, from synthetic markets with truth and from recordings."""
