"""Files of bars: CSV, TSV, JSON lines, Parquet, Arrow IPC, plain or compressed."""
