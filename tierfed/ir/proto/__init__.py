"""The serialized form of programs: protobuf messages, whose numbers follow the public ones."""

from tierfed.ir.proto.serialize import node_from_bytes, node_to_bytes, type_from_bytes, type_to_bytes

__all__ = ["node_from_bytes", "node_to_bytes", "type_from_bytes", "type_to_bytes"]
