"""Terminal view and web page: reads, never decides."""
