"""When things are due: the schedule language, its planner, and what happens to missed fires."""
