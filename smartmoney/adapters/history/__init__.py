"""Other people's history as recordings that every command reads."""
