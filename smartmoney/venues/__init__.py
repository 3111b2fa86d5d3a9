"""Exchanges as pure codecs, a folder each: frames to integers, requests to bytes, sequence rules. No sockets."""
