"""Pure and seeded: matching engine, synthetic market, the paper venue's fill model."""
