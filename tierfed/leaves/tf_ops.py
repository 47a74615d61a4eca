"""Which TensorFlow ops a leaf may have: a list, held against every node, also within functions.

    op ReadFile at 'ReadFile', in function 'map_fn', is not allowed

A graph is code that came over a link.  So what is not listed is refused, by name: whatever reads or
writes files, calls back into Python, talks to other processes, prints, or keeps state that outlives
a call.  What is listed computes from its inputs, within this process.

Variables are allowed: each call starts with uninitialised ones.  Random ops are of two kinds: those
that are functions of a seed (`tf.random.stateless_*`) are pure, those that draw (`tf.random.*`, a
`shuffle` without a seed) make the leaf stateful, and are refused unless it says `stateful=True`.

A new op is one more word in `ALLOWED`; TensorFlow's registry tells which are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tierfed.errors import LeafError

ALLOWED = frozenset(
    (
        # tf.data: sources in memory and what is made of them; none reads a file
        """
        AnonymousIteratorV3 AssertCardinalityDataset BatchDatasetV2 ConcatenateDataset DatasetCardinality
        DirectedInterleaveDataset DummySeedGenerator FilterDataset FlatMapDataset GroupByReducerDataset
        GroupByWindowDataset InterleaveDataset IteratorGetNext IteratorGetNextAsOptional MakeIterator
        MapAndBatchDataset MapDataset ModelDataset OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone
        OptionsDataset PaddedBatchDatasetV2 ParallelBatchDataset ParallelFilterDataset ParallelInterleaveDatasetV2
        ParallelInterleaveDatasetV3 ParallelInterleaveDatasetV4 ParallelMapDataset ParallelMapDatasetV2
        PrefetchDataset RangeDataset ReduceDataset RepeatDataset RewriteDataset ScanDataset ShardDataset ShuffleDataset
        ShuffleDatasetV3 SkipDataset TakeDataset TakeWhileDataset TensorDataset TensorSliceDataset UnbatchDataset
        UniqueDataset WindowDataset ZipDataset
        """
        # functions and control flow
        """
        Assert Case CheckNumerics CheckNumericsV2 Const EnsureShape Identity IdentityN If MapDefun NoOp
        PartitionedCall PreventGradient StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
        StopGradient While
        """
        # variables, which live for one call
        """
        AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp ReadVariableOp
        ResourceApplyAdaMax ResourceApplyAdadelta ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2
        ResourceApplyAdam ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp
        ResourceApplyFtrl ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum
        ResourceApplyMomentum ResourceApplyPowerSign ResourceApplyProximalAdagrad
        ResourceApplyProximalGradientDescent ResourceApplyRMSProp ResourceGather ResourceGatherNd ResourceScatterAdd
        ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd
        ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub
        ResourceScatterUpdate VarHandleOp VarIsInitializedOp VariableShape
        """
        # lists, which TensorArray and loops are made of
        """
        EmptyTensorList TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape
        TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack
        TensorListPushBack TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter
        TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
        """
        # random numbers that are functions of a seed
        """
        RandomGammaGrad RandomIndexShuffle RngReadAndSkip SobolSample StatefulRandomBinomial
        StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
        StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
        StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
        StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform
        StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
        StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessSampleDistortedBoundingBox StatelessShuffle
        StatelessTruncatedNormal StatelessTruncatedNormalV2
        """
        # strings
        """
        AsString DecodeBase64 DecodePaddedRaw DecodeRaw EditDistance EncodeBase64 ReduceJoin RegexFullMatch
        RegexReplace StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin StringLength StringLower
        StringNGrams StringSplit StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast
        StringToHashBucketStrong StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets
        UnicodeEncode UnicodeScript UnicodeTranscode UnsortedSegmentJoin
        """
        # sparse and ragged tensors
        """
        DenseCountSparseOutput DenseToDenseSetOperation DenseToSparseSetOperation RaggedBincount
        RaggedCountSparseOutput RaggedFillEmptyRows RaggedFillEmptyRowsGrad RaggedGather RaggedRange
        RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant
        RaggedTensorToVariantGradient SetSize SparseAdd SparseAddGrad SparseBincount SparseConcat
        SparseCountSparseOutput SparseCross SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv
        SparseDenseCwiseMul SparseFillEmptyRows SparseFillEmptyRowsGrad SparseMatMul SparseReduceMax
        SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse SparseReorder SparseReshape SparseSegmentMean
        SparseSegmentMeanGrad SparseSegmentMeanGradV2 SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
        SparseSegmentSqrtNGrad SparseSegmentSqrtNGradV2 SparseSegmentSqrtNWithNumSegments SparseSegmentSum
        SparseSegmentSumGrad SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments SparseSlice SparseSliceGrad
        SparseSoftmax SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
        SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation
        """
        # neural networks
        """
        AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad BiasAdd BiasAddGrad BiasAddV1 Conv Conv2D Conv2DBackpropFilter
        Conv2DBackpropFilterV2 Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropFilterV2
        Conv3DBackpropInputV2 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative
        DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput Dilation2D Dilation2DBackpropFilter
        Dilation2DBackpropInput Elu EluGrad FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2
        FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 InTopK InTopKV2 L2Loss LRN LRNGrad LeakyRelu
        LeakyReluGrad LogSoftmax MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradV2
        MaxPoolGradWithArgmax MaxPoolV2 MaxPoolWithArgmax NthElement Relu Relu6 Relu6Grad ReluGrad Selu SeluGrad
        Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign SoftsignGrad
        SparseSoftmaxCrossEntropyWithLogits TopKUnique TopKV2
        """
        # images, decoded
        """
        AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize CropAndResizeGradBoxes CropAndResizeGradImage
        ExtractImagePatches ExtractVolumePatches HSVToRGB RGBToHSV ResizeArea ResizeBicubic ResizeBicubicGrad
        ResizeBilinear ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad ScaleAndTranslate
        ScaleAndTranslateGrad
        """
        # arrays and mathematics
        """
        Abs Acos Acosh Add AddN AddV2 All Angle Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh BandedTriangularSolve
        BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpace BatchToSpaceND BesselI0 BesselI0e BesselI1 BesselI1e
        BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bincount Bitcast
        BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil Cholesky
        CholeskyGrad ClipByValue Complex ComplexAbs Concat ConcatOffset ConcatV2 Conj ConjugateTranspose Cos Cosh
        Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount DepthToSpace Diag DiagPart Digamma Div DivNoNan
        DynamicPartition DynamicStitch Eig Einsum Equal Erf Erfc Erfinv EuclideanNorm Exp ExpandDims Expint Expm1
        FFT FFT2D FFT3D FFTND Fill Floor FloorDiv FloorMod FresnelCos FresnelSin Gather GatherNd GatherV2 Greater
        GreaterEqual HistogramFixedWidth IFFT IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND Igamma IgammaGradA
        Igammac Imag Inv InvGrad Invert InvertPermutation IsFinite IsInf IsNan IsTensorFloat32Enabled LeftShift Less
        LessEqual Lgamma LinSpace ListDiff Log Log1p LogMatrixDeterminant LogicalAnd LogicalNot LogicalOr LowerBound
        Lu MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3
        MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3
        MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Max Maximum Mean Min Minimum MirrorPad
        MirrorPadGrad Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual OneHot OnesLike Pack Pad PadV2
        ParallelDynamicStitch Polygamma PopulationCount Pow Prod Qr RFFT RFFT2D RFFT3D RFFTND Range Rank Real
        RealDiv Reciprocal ReciprocalGrad Reshape Reverse ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt
        RsqrtGrad ScatterNd ScatterNdNonAliasingAdd SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2
        SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2 SelfAdjointEigV2 Shape ShapeN Sigmoid
        SigmoidGrad Sign Sin Sinh Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth Spence Split SplitV Sqrt
        SqrtGrad Square SquaredDifference Squeeze StridedSlice StridedSliceGrad Sub Sum Svd Tan Tanh TanhGrad
        TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
        TensorStridedSliceUpdate Tile Transpose TridiagonalMatMul TridiagonalSolve TruncateDiv TruncateMod Unique
        UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UnsortedSegmentMax UnsortedSegmentMin
        UnsortedSegmentProd UnsortedSegmentSum UpperBound Where Xdivy Xlog1py Xlogy ZerosLike Zeta
        """
    ).split()
)

DRAWS = frozenset(
    """
    Multinomial NonDeterministicInts ParameterizedTruncatedNormal RandomDataset RandomDatasetV2 RandomGamma
    RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt SampleDistortedBoundingBox
    SampleDistortedBoundingBoxV2 TruncatedNormal
    """.split()
)
_SHUFFLES = ("ShuffleDataset", "ShuffleDatasetV3")


def check(graph: Any, inputs: Iterable[str], where: str, *, stateful: bool) -> None:
    """Raise LeafError for the first node of `graph`, a GraphDef, that may not be there.

    Its only placeholders are `inputs`.  Functions are called `f0`, `f1`, …, so that none hides an op,
    and none calls itself, directly or through others.  A leaf that draws has to be `stateful`.
    """
    functions = {f.signature.name: f for f in graph.library.function}
    if len(functions) != len(graph.library.function) or not all(_numbered(name) for name in functions):
        raise LeafError("functions of the graph are not called f0, f1, …", where=where, mend=_MADE_HERE)
    if graph.library.gradient or graph.library.registered_gradients:
        raise LeafError("the graph brings gradients of functions", where=where, mend=_MADE_HERE)
    placeholders = frozenset(inputs)
    for function, nodes in ((None, graph.node), *((f, f.node_def) for f in functions.values())):
        within = "" if function is None else f", in function {function.signature.name}"
        drawn = _draws(nodes)
        for node in nodes:
            at = f"op {node.op} at {node.name!r}{within}"
            known = node.op in ALLOWED or node.op in functions or node.op in DRAWS
            if not known and not (node.op == "Placeholder" and function is None and node.name in placeholders):
                raise LeafError(
                    f"{at}, is not allowed",
                    where=where,
                    mend="compute from the arguments alone: a leaf reads and writes no files, calls no Python, "
                    "prints nothing and keeps no state",
                )
            if node.name in drawn and not stateful:
                raise LeafError(
                    f"{at}, draws random numbers of its own, so equal calls differ",
                    where=where,
                    mend="use tf.random.stateless_… or a shuffle with a seed that comes as an argument, "
                    "or say stateful=True",
                )
            if node.device:
                raise LeafError(f"{at}, is bound to {node.device}", where=where, mend=_MADE_HERE)
            missing = next((name for name in called(node) if name not in functions), None)
            if missing is not None:
                raise LeafError(f"{at}, calls {missing}, which is not there", where=where, mend=_MADE_HERE)
    _refuse_recursion(functions, where)


_MADE_HERE = "make the leaf with tierfed.tf_computation"


def _numbered(name: str) -> bool:
    return name[:1] == "f" and name[1:].isdecimal()


def called(node: Any) -> Iterator[str]:
    """Yield the names of the functions among the attributes of a node, each as often as it stands there."""
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func.name
        elif kind == "list":
            yield from (f.name for f in value.list.func)


def uses(function: Any, names: Iterable[str]) -> Iterator[str]:
    """Yield which of `names` the nodes of a FunctionDef call: as an op, or by an attribute."""
    known = frozenset(names)
    for node in function.node_def:
        if node.op in known:
            yield node.op
        yield from called(node)


def _draws(nodes: Iterable[Any]) -> frozenset[str]:
    """Return the names of the nodes that draw: random ops, and shuffles whose two seeds are the constant 0."""
    by_name = {node.name: node for node in nodes}

    def zero(reference: str) -> bool:
        node = by_name.get(reference.lstrip("^").partition(":")[0])
        if node is None or node.op != "Const":
            return False
        tensor = node.attr["value"].tensor
        return not any(tensor.int64_val) and not any(tensor.tensor_content)

    return frozenset(
        name
        for name, node in by_name.items()
        if node.op in DRAWS or (node.op in _SHUFFLES and all(zero(seed) for seed in node.input[2:4]))
    )


def _refuse_recursion(functions: dict[str, Any], where: str) -> None:
    left = {name: set(uses(f, functions)) for name, f in functions.items()}
    while left:
        done = {name for name, inner in left.items() if not inner & left.keys()}
        if not done:
            raise LeafError(f"the function {min(left)} of the graph calls itself", where=where, mend=_MADE_HERE)
        left = {name: inner for name, inner in left.items() if name not in done}
