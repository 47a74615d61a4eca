from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVALID: _ClassVar[DataType]
    FLOAT32: _ClassVar[DataType]
    FLOAT64: _ClassVar[DataType]
    INT32: _ClassVar[DataType]
    UINT8: _ClassVar[DataType]
    INT16: _ClassVar[DataType]
    INT8: _ClassVar[DataType]
    STR: _ClassVar[DataType]
    COMPLEX64: _ClassVar[DataType]
    INT64: _ClassVar[DataType]
    BOOL: _ClassVar[DataType]
    BFLOAT16: _ClassVar[DataType]
    UINT16: _ClassVar[DataType]
    COMPLEX128: _ClassVar[DataType]
    FLOAT16: _ClassVar[DataType]
    UINT32: _ClassVar[DataType]
    UINT64: _ClassVar[DataType]
INVALID: DataType
FLOAT32: DataType
FLOAT64: DataType
INT32: DataType
UINT8: DataType
INT16: DataType
INT8: DataType
STR: DataType
COMPLEX64: DataType
INT64: DataType
BOOL: DataType
BFLOAT16: DataType
UINT16: DataType
COMPLEX128: DataType
FLOAT16: DataType
UINT32: DataType
UINT64: DataType

class Type(_message.Message):
    __slots__ = ("function", "struct", "sequence", "tensor", "abstract", "placement", "federated")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    STRUCT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    ABSTRACT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    FEDERATED_FIELD_NUMBER: _ClassVar[int]
    function: FunctionType
    struct: StructType
    sequence: SequenceType
    tensor: TensorType
    abstract: AbstractType
    placement: PlacementType
    federated: FederatedType
    def __init__(self, function: _Optional[_Union[FunctionType, _Mapping]] = ..., struct: _Optional[_Union[StructType, _Mapping]] = ..., sequence: _Optional[_Union[SequenceType, _Mapping]] = ..., tensor: _Optional[_Union[TensorType, _Mapping]] = ..., abstract: _Optional[_Union[AbstractType, _Mapping]] = ..., placement: _Optional[_Union[PlacementType, _Mapping]] = ..., federated: _Optional[_Union[FederatedType, _Mapping]] = ...) -> None: ...

class FunctionType(_message.Message):
    __slots__ = ("parameter", "result")
    PARAMETER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    parameter: Type
    result: Type
    def __init__(self, parameter: _Optional[_Union[Type, _Mapping]] = ..., result: _Optional[_Union[Type, _Mapping]] = ...) -> None: ...

class StructType(_message.Message):
    __slots__ = ("element",)
    class Element(_message.Message):
        __slots__ = ("name", "value")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        name: str
        value: Type
        def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[Type, _Mapping]] = ...) -> None: ...
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    element: _containers.RepeatedCompositeFieldContainer[StructType.Element]
    def __init__(self, element: _Optional[_Iterable[_Union[StructType.Element, _Mapping]]] = ...) -> None: ...

class SequenceType(_message.Message):
    __slots__ = ("element",)
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    element: Type
    def __init__(self, element: _Optional[_Union[Type, _Mapping]] = ...) -> None: ...

class TensorType(_message.Message):
    __slots__ = ("dtype", "dims", "unknown_rank")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_RANK_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    dims: _containers.RepeatedScalarFieldContainer[int]
    unknown_rank: bool
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., dims: _Optional[_Iterable[int]] = ..., unknown_rank: bool = ...) -> None: ...

class AbstractType(_message.Message):
    __slots__ = ("label",)
    LABEL_FIELD_NUMBER: _ClassVar[int]
    label: str
    def __init__(self, label: _Optional[str] = ...) -> None: ...

class PlacementType(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FederatedType(_message.Message):
    __slots__ = ("placement", "all_equal", "member")
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    ALL_EQUAL_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    placement: PlacementSpec
    all_equal: bool
    member: Type
    def __init__(self, placement: _Optional[_Union[PlacementSpec, _Mapping]] = ..., all_equal: bool = ..., member: _Optional[_Union[Type, _Mapping]] = ...) -> None: ...

class PlacementSpec(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: Placement
    def __init__(self, value: _Optional[_Union[Placement, _Mapping]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("uri", "name", "singleton")
    URI_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SINGLETON_FIELD_NUMBER: _ClassVar[int]
    uri: str
    name: str
    singleton: bool
    def __init__(self, uri: _Optional[str] = ..., name: _Optional[str] = ..., singleton: bool = ...) -> None: ...

class ArrayShape(_message.Message):
    __slots__ = ("dim", "unknown_rank")
    DIM_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_RANK_FIELD_NUMBER: _ClassVar[int]
    dim: _containers.RepeatedScalarFieldContainer[int]
    unknown_rank: bool
    def __init__(self, dim: _Optional[_Iterable[int]] = ..., unknown_rank: bool = ...) -> None: ...

class Array(_message.Message):
    __slots__ = ("dtype", "shape", "bool_list", "int8_list", "int16_list", "int32_list", "int64_list", "uint8_list", "uint16_list", "uint32_list", "uint64_list", "float16_list", "float32_list", "float64_list", "complex64_list", "complex128_list", "str_list", "bfloat16_list", "content")
    class Bools(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[bool]
        def __init__(self, value: _Optional[_Iterable[bool]] = ...) -> None: ...
    class Ints(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, value: _Optional[_Iterable[int]] = ...) -> None: ...
    class Longs(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, value: _Optional[_Iterable[int]] = ...) -> None: ...
    class Unsigned(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, value: _Optional[_Iterable[int]] = ...) -> None: ...
    class UnsignedLongs(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, value: _Optional[_Iterable[int]] = ...) -> None: ...
    class Floats(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, value: _Optional[_Iterable[float]] = ...) -> None: ...
    class Doubles(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, value: _Optional[_Iterable[float]] = ...) -> None: ...
    class Strings(_message.Message):
        __slots__ = ("value",)
        VALUE_FIELD_NUMBER: _ClassVar[int]
        value: _containers.RepeatedScalarFieldContainer[bytes]
        def __init__(self, value: _Optional[_Iterable[bytes]] = ...) -> None: ...
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    BOOL_LIST_FIELD_NUMBER: _ClassVar[int]
    INT8_LIST_FIELD_NUMBER: _ClassVar[int]
    INT16_LIST_FIELD_NUMBER: _ClassVar[int]
    INT32_LIST_FIELD_NUMBER: _ClassVar[int]
    INT64_LIST_FIELD_NUMBER: _ClassVar[int]
    UINT8_LIST_FIELD_NUMBER: _ClassVar[int]
    UINT16_LIST_FIELD_NUMBER: _ClassVar[int]
    UINT32_LIST_FIELD_NUMBER: _ClassVar[int]
    UINT64_LIST_FIELD_NUMBER: _ClassVar[int]
    FLOAT16_LIST_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_LIST_FIELD_NUMBER: _ClassVar[int]
    FLOAT64_LIST_FIELD_NUMBER: _ClassVar[int]
    COMPLEX64_LIST_FIELD_NUMBER: _ClassVar[int]
    COMPLEX128_LIST_FIELD_NUMBER: _ClassVar[int]
    STR_LIST_FIELD_NUMBER: _ClassVar[int]
    BFLOAT16_LIST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    shape: ArrayShape
    bool_list: Array.Bools
    int8_list: Array.Ints
    int16_list: Array.Ints
    int32_list: Array.Ints
    int64_list: Array.Longs
    uint8_list: Array.Ints
    uint16_list: Array.Ints
    uint32_list: Array.Unsigned
    uint64_list: Array.UnsignedLongs
    float16_list: Array.Ints
    float32_list: Array.Floats
    float64_list: Array.Doubles
    complex64_list: Array.Floats
    complex128_list: Array.Doubles
    str_list: Array.Strings
    bfloat16_list: Array.Ints
    content: bytes
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Union[ArrayShape, _Mapping]] = ..., bool_list: _Optional[_Union[Array.Bools, _Mapping]] = ..., int8_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., int16_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., int32_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., int64_list: _Optional[_Union[Array.Longs, _Mapping]] = ..., uint8_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., uint16_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., uint32_list: _Optional[_Union[Array.Unsigned, _Mapping]] = ..., uint64_list: _Optional[_Union[Array.UnsignedLongs, _Mapping]] = ..., float16_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., float32_list: _Optional[_Union[Array.Floats, _Mapping]] = ..., float64_list: _Optional[_Union[Array.Doubles, _Mapping]] = ..., complex64_list: _Optional[_Union[Array.Floats, _Mapping]] = ..., complex128_list: _Optional[_Union[Array.Doubles, _Mapping]] = ..., str_list: _Optional[_Union[Array.Strings, _Mapping]] = ..., bfloat16_list: _Optional[_Union[Array.Ints, _Mapping]] = ..., content: _Optional[bytes] = ...) -> None: ...

class Computation(_message.Message):
    __slots__ = ("type", "tensorflow", "intrinsic", "abstraction", "block", "reference", "call", "struct", "selection", "data", "placement", "xla", "literal", "detached_at", "leaf", "detached")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TENSORFLOW_FIELD_NUMBER: _ClassVar[int]
    INTRINSIC_FIELD_NUMBER: _ClassVar[int]
    ABSTRACTION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    STRUCT_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    XLA_FIELD_NUMBER: _ClassVar[int]
    LITERAL_FIELD_NUMBER: _ClassVar[int]
    DETACHED_AT_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    type: Type
    tensorflow: bytes
    intrinsic: Intrinsic
    abstraction: Lambda
    block: Block
    reference: Reference
    call: Call
    struct: Struct
    selection: Selection
    data: Data
    placement: Placement
    xla: bytes
    literal: Literal
    detached_at: int
    leaf: Leaf
    detached: _containers.RepeatedCompositeFieldContainer[Computation]
    def __init__(self, type: _Optional[_Union[Type, _Mapping]] = ..., tensorflow: _Optional[bytes] = ..., intrinsic: _Optional[_Union[Intrinsic, _Mapping]] = ..., abstraction: _Optional[_Union[Lambda, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., reference: _Optional[_Union[Reference, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., struct: _Optional[_Union[Struct, _Mapping]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., data: _Optional[_Union[Data, _Mapping]] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., xla: _Optional[bytes] = ..., literal: _Optional[_Union[Literal, _Mapping]] = ..., detached_at: _Optional[int] = ..., leaf: _Optional[_Union[Leaf, _Mapping]] = ..., detached: _Optional[_Iterable[_Union[Computation, _Mapping]]] = ...) -> None: ...

class Intrinsic(_message.Message):
    __slots__ = ("uri",)
    URI_FIELD_NUMBER: _ClassVar[int]
    uri: str
    def __init__(self, uri: _Optional[str] = ...) -> None: ...

class Lambda(_message.Message):
    __slots__ = ("parameter_name", "result")
    PARAMETER_NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    parameter_name: str
    result: Computation
    def __init__(self, parameter_name: _Optional[str] = ..., result: _Optional[_Union[Computation, _Mapping]] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("local", "result")
    class Local(_message.Message):
        __slots__ = ("name", "value")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        name: str
        value: Computation
        def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[Computation, _Mapping]] = ...) -> None: ...
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    local: _containers.RepeatedCompositeFieldContainer[Block.Local]
    result: Computation
    def __init__(self, local: _Optional[_Iterable[_Union[Block.Local, _Mapping]]] = ..., result: _Optional[_Union[Computation, _Mapping]] = ...) -> None: ...

class Reference(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("function", "argument")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_FIELD_NUMBER: _ClassVar[int]
    function: Computation
    argument: Computation
    def __init__(self, function: _Optional[_Union[Computation, _Mapping]] = ..., argument: _Optional[_Union[Computation, _Mapping]] = ...) -> None: ...

class Struct(_message.Message):
    __slots__ = ("element",)
    class Element(_message.Message):
        __slots__ = ("name", "value")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        name: str
        value: Computation
        def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[Computation, _Mapping]] = ...) -> None: ...
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    element: _containers.RepeatedCompositeFieldContainer[Struct.Element]
    def __init__(self, element: _Optional[_Iterable[_Union[Struct.Element, _Mapping]]] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("source", "index")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    source: Computation
    index: int
    def __init__(self, source: _Optional[_Union[Computation, _Mapping]] = ..., index: _Optional[int] = ...) -> None: ...

class Data(_message.Message):
    __slots__ = ("uri", "content")
    URI_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    uri: str
    content: bytes
    def __init__(self, uri: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class Literal(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: Array
    def __init__(self, value: _Optional[_Union[Array, _Mapping]] = ...) -> None: ...

class Leaf(_message.Message):
    __slots__ = ("kind", "name", "digest", "content", "stateful")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    STATEFUL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    digest: str
    content: bytes
    stateful: bool
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., digest: _Optional[str] = ..., content: _Optional[bytes] = ..., stateful: bool = ...) -> None: ...
