"""What is running: finds agents and MCP servers, and tells how each was recognised."""
