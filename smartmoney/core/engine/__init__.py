"""The engine: `step(entry)` returns commands; the market, the money and the deciding part that it is made of; views of it."""
