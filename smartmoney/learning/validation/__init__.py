"""Validation: splits that leak nothing, and statistics that count every attempt. Pure: arrays in, numbers out."""
