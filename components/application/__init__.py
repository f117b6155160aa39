"""Langfuse itself: web, worker, their environment, the migrations and the first start."""
