"""What backends share, and rows on their way out. Data plane: may import pyarrow."""
