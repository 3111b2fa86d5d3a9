"""asyncio: supervisor, inbox loop, timers, recovery, the modes."""
