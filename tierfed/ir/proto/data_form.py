"""The URI of data in the public form, which says what data is by a message of anyone's choice.

    Data("train")      google.protobuf.Any of a google.protobuf.StringValue, "train"

federated-language carries that message and does not look inside.  Any other is refused here, by
the name of its type, for what it means is between its writer and its reader.
"""

from __future__ import annotations

from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.message import DecodeError

from tierfed.ir.proto.type_form import TypeReader


def packed_uri(uri: str) -> bytes:
    """Return the bytes of the message that says `uri`."""
    message = any_pb2.Any()
    message.Pack(wrappers_pb2.StringValue(value=uri), deterministic=True)
    return message.SerializeToString(deterministic=True)


def unpacked_uri(content: bytes, reader: TypeReader) -> str:
    """Return the URI that the message in `content` says; raises ProtocolError if it says anything else."""
    said = wrappers_pb2.StringValue()
    try:
        message = any_pb2.Any.FromString(content)
        if message.Unpack(said):
            return said.value
    except (DecodeError, UnicodeDecodeError):
        raise reader.fail("data whose content is no message", "name data by its URI") from None
    raise reader.fail(
        f"data by content of the type {message.type_url!r} is not known here",
        "name data by its URI, in a google.protobuf.StringValue",
    )
