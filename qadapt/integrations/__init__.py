"""Vector stores of LangChain, LlamaIndex and Haystack over a qadapt collection; an MCP server.

Each framework has one module, which imports the framework; nothing else in qadapt imports these
modules, except that the command ``mcp`` starts the server. See docs/integrations.md and
docs/mcp.md.
"""
