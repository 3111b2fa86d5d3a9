"""Limits and the kill switch: an intent becomes Approved or a coded refusal."""
