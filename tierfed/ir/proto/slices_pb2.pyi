from tierfed.ir.proto import computation_pb2 as _computation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Compiled(_message.Message):
    __slots__ = ("program", "sliced", "hash")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    SLICED_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    program: _computation_pb2.Computation
    sliced: Sliced
    hash: str
    def __init__(self, program: _Optional[_Union[_computation_pb2.Computation, _Mapping]] = ..., sliced: _Optional[_Union[Sliced, _Mapping]] = ..., hash: _Optional[str] = ...) -> None: ...

class Sliced(_message.Message):
    __slots__ = ("hierarchy", "slice")
    HIERARCHY_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    hierarchy: Hierarchy
    slice: _containers.RepeatedCompositeFieldContainer[Slice]
    def __init__(self, hierarchy: _Optional[_Union[Hierarchy, _Mapping]] = ..., slice: _Optional[_Iterable[_Union[Slice, _Mapping]]] = ...) -> None: ...

class Hierarchy(_message.Message):
    __slots__ = ("root", "edge")
    class Edge(_message.Message):
        __slots__ = ("below", "above")
        BELOW_FIELD_NUMBER: _ClassVar[int]
        ABOVE_FIELD_NUMBER: _ClassVar[int]
        below: _computation_pb2.Placement
        above: _computation_pb2.Placement
        def __init__(self, below: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., above: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ...) -> None: ...
    ROOT_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    root: _computation_pb2.Placement
    edge: _containers.RepeatedCompositeFieldContainer[Hierarchy.Edge]
    def __init__(self, root: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., edge: _Optional[_Iterable[_Union[Hierarchy.Edge, _Mapping]]] = ...) -> None: ...

class Slice(_message.Message):
    __slots__ = ("placement", "step")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    placement: _computation_pb2.Placement
    step: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, placement: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., step: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("receive", "load", "compute", "broadcast", "scatter", "fold", "send", "keep", "recall", "loop")
    RECEIVE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_FIELD_NUMBER: _ClassVar[int]
    SCATTER_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    receive: Receive
    load: Load
    compute: Compute
    broadcast: Broadcast
    scatter: Scatter
    fold: Fold
    send: Send
    keep: Keep
    recall: Recall
    loop: Loop
    def __init__(self, receive: _Optional[_Union[Receive, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., compute: _Optional[_Union[Compute, _Mapping]] = ..., broadcast: _Optional[_Union[Broadcast, _Mapping]] = ..., scatter: _Optional[_Union[Scatter, _Mapping]] = ..., fold: _Optional[_Union[Fold, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., keep: _Optional[_Union[Keep, _Mapping]] = ..., recall: _Optional[_Union[Recall, _Mapping]] = ..., loop: _Optional[_Union[Loop, _Mapping]] = ...) -> None: ...

class Site(_message.Message):
    __slots__ = ("phase", "index")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    phase: int
    index: int
    def __init__(self, phase: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("name", "type", "many")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MANY_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: _computation_pb2.Type
    many: _computation_pb2.Placement
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[_computation_pb2.Type, _Mapping]] = ..., many: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ...) -> None: ...

class Receive(_message.Message):
    __slots__ = ("site", "slot")
    SITE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    site: Site
    slot: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., slot: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("slot", "uri")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    uri: str
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., uri: _Optional[str] = ...) -> None: ...

class Compute(_message.Message):
    __slots__ = ("slot", "expression")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    expression: _computation_pb2.Computation
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., expression: _Optional[_Union[_computation_pb2.Computation, _Mapping]] = ...) -> None: ...

class Broadcast(_message.Message):
    __slots__ = ("site", "to", "slot")
    SITE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    site: Site
    to: _computation_pb2.Placement
    slot: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., to: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., slot: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ...) -> None: ...

class Scatter(_message.Message):
    __slots__ = ("site", "to", "slot")
    SITE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    site: Site
    to: _computation_pb2.Placement
    slot: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., to: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., slot: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ...) -> None: ...

class Fold(_message.Message):
    __slots__ = ("site", "source", "fold")
    SITE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FOLD_FIELD_NUMBER: _ClassVar[int]
    site: Site
    source: _computation_pb2.Placement
    fold: _containers.RepeatedCompositeFieldContainer[FoldSlot]
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., source: _Optional[_Union[_computation_pb2.Placement, _Mapping]] = ..., fold: _Optional[_Iterable[_Union[FoldSlot, _Mapping]]] = ...) -> None: ...

class FoldSlot(_message.Message):
    __slots__ = ("slot", "kind", "incoming", "zero", "operator", "plus")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INVALID_KIND: _ClassVar[FoldSlot.Kind]
        ACCUMULATE: _ClassVar[FoldSlot.Kind]
        MERGE: _ClassVar[FoldSlot.Kind]
        GATHER: _ClassVar[FoldSlot.Kind]
    INVALID_KIND: FoldSlot.Kind
    ACCUMULATE: FoldSlot.Kind
    MERGE: FoldSlot.Kind
    GATHER: FoldSlot.Kind
    SLOT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    ZERO_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PLUS_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    kind: FoldSlot.Kind
    incoming: Slot
    zero: _computation_pb2.Computation
    operator: _computation_pb2.Computation
    plus: bool
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., kind: _Optional[_Union[FoldSlot.Kind, str]] = ..., incoming: _Optional[_Union[Slot, _Mapping]] = ..., zero: _Optional[_Union[_computation_pb2.Computation, _Mapping]] = ..., operator: _Optional[_Union[_computation_pb2.Computation, _Mapping]] = ..., plus: bool = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("site", "slot")
    SITE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    site: Site
    slot: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., slot: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ...) -> None: ...

class Keep(_message.Message):
    __slots__ = ("slot",)
    SLOT_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ...) -> None: ...

class Recall(_message.Message):
    __slots__ = ("slot", "default")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    default: str
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., default: _Optional[str] = ...) -> None: ...

class Loop(_message.Message):
    __slots__ = ("site", "turns", "carried", "steps")
    SITE_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    CARRIED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    site: Site
    turns: _computation_pb2.Computation
    carried: _containers.RepeatedCompositeFieldContainer[Carried]
    steps: int
    def __init__(self, site: _Optional[_Union[Site, _Mapping]] = ..., turns: _Optional[_Union[_computation_pb2.Computation, _Mapping]] = ..., carried: _Optional[_Iterable[_Union[Carried, _Mapping]]] = ..., steps: _Optional[int] = ...) -> None: ...

class Carried(_message.Message):
    __slots__ = ("slot", "first", "next")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    first: str
    next: str
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ..., first: _Optional[str] = ..., next: _Optional[str] = ...) -> None: ...
