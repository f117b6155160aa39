"""The stores of Langfuse, each in its modes."""
