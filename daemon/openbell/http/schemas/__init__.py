"""What crosses the wire, as pydantic models; the only place of this package that has them."""
