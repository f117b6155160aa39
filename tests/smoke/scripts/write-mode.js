"use strict";
// Prints the write mode of this container's Langfuse.

console.log(JSON.stringify({ mode: process.env.LANGFUSE_MIGRATION_V4_WRITE_MODE ?? "" }));
