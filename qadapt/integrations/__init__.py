"""Vector stores of LangChain, LlamaIndex and Haystack over a qadapt collection.

Each framework has one module, which imports the framework; nothing else in qadapt imports these
modules. See docs/integrations.md.
"""
