"""The time machine: the real scheduler and engine on virtual time, workers played by chance."""
