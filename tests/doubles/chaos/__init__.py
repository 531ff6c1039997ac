"""Random work under random kills, and the laws that must hold afterwards."""
