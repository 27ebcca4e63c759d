"""The AsyncAPI 3 document of all topics, made from the contracts: `docs/asyncapi.yaml`."""

from c360_stream.tools.schemas.document import as_yaml, document

__all__ = ["as_yaml", "document"]
