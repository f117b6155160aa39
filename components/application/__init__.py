"""Langfuse itself: web, worker, their environment variables, the migrations and the first start."""
