// Our own description of the TensorFlow wire messages that are read and written: one row a field.
// Fields that nothing here needs are left out; readers skip them. Field names are TensorFlow's.
//
// A row is [field number, type, label?]. Types: the scalars below, an enumeration, or a message.
// `int64` and `uint64` are exact (bigint); `int53` is an int64 on the wire that counts or sizes
// something: a number, and refused where a double cannot hold it. Labels: `repeated`, `map` (string
// keys), `map_uint32`, `oneof` (at most one of the message's oneof fields is present).
// Source: tensorflow/core/{framework,protobuf,util,example}/*.proto, tensorflow_serving/apis/*.proto.
import type { EnumName } from './enums.ts'

/** Field types that are neither messages nor enumerations. */
export type ScalarName =
  | 'int32'
  | 'uint32'
  | 'int53'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'float'
  | 'double'
  | 'fixed32'
  | 'string'
  | 'bytes'

/** How often a field occurs, where it is not a plain proto3 field. */
export type Label = 'repeated' | 'map' | 'map_uint32' | 'oneof'

/** The name of a wire message. */
export type MessageName = keyof typeof schema

/** One field: number, type, label. */
export type FieldRow = readonly [
  number: number,
  type: ScalarName | EnumName | MessageName,
  label?: Label,
]

const checkpoint = {
  VersionDef: {
    producer: [1, 'int32'],
    min_consumer: [2, 'int32'],
    bad_consumers: [3, 'int32', 'repeated'],
  },
  TensorShapeProto: { dim: [2, 'Dim', 'repeated'], unknown_rank: [3, 'bool'] },
  Dim: { size: [1, 'int53'], name: [2, 'string'] },
  Extent: { start: [1, 'int53'], length: [2, 'int53', 'oneof'] },
  TensorSliceProto: { extent: [1, 'Extent', 'repeated'] },
  BundleHeaderProto: {
    num_shards: [1, 'int32'],
    endianness: [2, 'Endianness'],
    version: [3, 'VersionDef'],
  },
  BundleEntryProto: {
    dtype: [1, 'DataType'],
    shape: [2, 'TensorShapeProto'],
    shard_id: [3, 'int32'],
    offset: [4, 'int53'],
    size: [5, 'int53'],
    crc32c: [6, 'fixed32'],
    slices: [7, 'TensorSliceProto', 'repeated'],
  },
  SavedTensorSlices: { meta: [1, 'SavedTensorSliceMeta'], data: [2, 'SavedSlice'] },
  SavedTensorSliceMeta: {
    tensor: [1, 'SavedSliceMeta', 'repeated'],
    versions: [2, 'VersionDef'],
  },
  SavedSliceMeta: {
    name: [1, 'string'],
    shape: [2, 'TensorShapeProto'],
    type: [3, 'DataType'],
    slice: [4, 'TensorSliceProto', 'repeated'],
  },
  SavedSlice: {
    name: [1, 'string'],
    slice: [2, 'TensorSliceProto'],
    data: [3, 'SlicedTensorProto'],
  },
  CheckpointState: {
    model_checkpoint_path: [1, 'string'],
    all_model_checkpoint_paths: [2, 'string', 'repeated'],
    all_model_checkpoint_timestamps: [3, 'double', 'repeated'],
    last_preserved_timestamp: [4, 'double'],
  },
} as const

const tensor = {
  /**
   * A TensorProto as TensorFlow writes it into a SavedSlice: values only, in one packed list. Lists of
   * fixed-width numbers are taken as their bytes, which are the tensor's own: no number is made of them.
   */
  SlicedTensorProto: {
    float_val: [5, 'bytes'],
    double_val: [6, 'bytes'],
    int_val: [7, 'int32', 'repeated'],
    string_val: [8, 'bytes', 'repeated'],
    scomplex_val: [9, 'bytes'],
    int64_val: [10, 'int64', 'repeated'],
    bool_val: [11, 'bool', 'repeated'],
    dcomplex_val: [12, 'bytes'],
    half_val: [13, 'int32', 'repeated'],
    uint32_val: [16, 'uint32', 'repeated'],
    uint64_val: [17, 'uint64', 'repeated'],
    float8_val: [18, 'bytes'],
  },
  TensorProto: {
    dtype: [1, 'DataType'],
    tensor_shape: [2, 'TensorShapeProto'],
    version_number: [3, 'int32'],
    tensor_content: [4, 'bytes'],
    float_val: [5, 'float', 'repeated'],
    double_val: [6, 'double', 'repeated'],
    int_val: [7, 'int32', 'repeated'],
    string_val: [8, 'bytes', 'repeated'],
    scomplex_val: [9, 'float', 'repeated'],
    int64_val: [10, 'int64', 'repeated'],
    bool_val: [11, 'bool', 'repeated'],
    dcomplex_val: [12, 'double', 'repeated'],
    half_val: [13, 'int32', 'repeated'],
    resource_handle_val: [14, 'ResourceHandleProto', 'repeated'],
    variant_val: [15, 'VariantTensorDataProto', 'repeated'],
    uint32_val: [16, 'uint32', 'repeated'],
    uint64_val: [17, 'uint64', 'repeated'],
    float8_val: [18, 'bytes'],
  },
  ResourceHandleProto: {
    device: [1, 'string'],
    container: [2, 'string'],
    name: [3, 'string'],
    hash_code: [4, 'uint64'],
    maybe_type_name: [5, 'string'],
  },
  VariantTensorDataProto: {
    type_name: [1, 'string'],
    metadata: [2, 'bytes'],
    tensors: [3, 'TensorProto', 'repeated'],
  },
} as const

const graph = {
  GraphDef: {
    node: [1, 'NodeDef', 'repeated'],
    library: [2, 'FunctionDefLibrary'],
    version: [3, 'int32'],
    versions: [4, 'VersionDef'],
  },
  NodeDef: {
    name: [1, 'string'],
    op: [2, 'string'],
    input: [3, 'string', 'repeated'],
    device: [4, 'string'],
    attr: [5, 'AttrValue', 'map'],
  },
  AttrValue: {
    list: [1, 'ListValue', 'oneof'],
    s: [2, 'bytes', 'oneof'],
    i: [3, 'int64', 'oneof'],
    f: [4, 'float', 'oneof'],
    b: [5, 'bool', 'oneof'],
    type: [6, 'DataType', 'oneof'],
    shape: [7, 'TensorShapeProto', 'oneof'],
    tensor: [8, 'TensorProto', 'oneof'],
    placeholder: [9, 'string', 'oneof'],
    func: [10, 'NameAttrList', 'oneof'],
  },
  ListValue: {
    s: [2, 'bytes', 'repeated'],
    i: [3, 'int64', 'repeated'],
    f: [4, 'float', 'repeated'],
    b: [5, 'bool', 'repeated'],
    type: [6, 'DataType', 'repeated'],
    shape: [7, 'TensorShapeProto', 'repeated'],
    tensor: [8, 'TensorProto', 'repeated'],
    func: [9, 'NameAttrList', 'repeated'],
  },
  NameAttrList: { name: [1, 'string'], attr: [2, 'AttrValue', 'map'] },
  FunctionDefLibrary: {
    function: [1, 'FunctionDef', 'repeated'],
    gradient: [2, 'GradientDef', 'repeated'],
  },
  GradientDef: { function_name: [1, 'string'], gradient_func: [2, 'string'] },
  FunctionDef: {
    signature: [1, 'OpDef'],
    node_def: [3, 'NodeDef', 'repeated'],
    ret: [4, 'string', 'map'],
    attr: [5, 'AttrValue', 'map'],
    control_ret: [6, 'string', 'map'],
    arg_attr: [7, 'ArgAttrs', 'map_uint32'],
    resource_arg_unique_id: [8, 'uint32', 'map_uint32'],
  },
  ArgAttrs: { attr: [1, 'AttrValue', 'map'] },
  OpDef: {
    name: [1, 'string'],
    input_arg: [2, 'ArgDef', 'repeated'],
    output_arg: [3, 'ArgDef', 'repeated'],
    attr: [4, 'AttrDef', 'repeated'],
    summary: [5, 'string'],
    description: [6, 'string'],
    deprecation: [8, 'OpDeprecation'],
    is_aggregate: [16, 'bool'],
    is_stateful: [17, 'bool'],
    is_commutative: [18, 'bool'],
    allows_uninitialized_input: [19, 'bool'],
    control_output: [20, 'string', 'repeated'],
  },
  ArgDef: {
    name: [1, 'string'],
    description: [2, 'string'],
    type: [3, 'DataType'],
    type_attr: [4, 'string'],
    number_attr: [5, 'string'],
    type_list_attr: [6, 'string'],
    is_ref: [16, 'bool'],
  },
  AttrDef: {
    name: [1, 'string'],
    type: [2, 'string'],
    default_value: [3, 'AttrValue'],
    description: [4, 'string'],
    has_minimum: [5, 'bool'],
    minimum: [6, 'int64'],
    allowed_values: [7, 'AttrValue'],
  },
  OpDeprecation: { version: [1, 'int32'], explanation: [2, 'string'] },
} as const

const savedModel = {
  SavedModel: {
    saved_model_schema_version: [1, 'int53'],
    meta_graphs: [2, 'MetaGraphDef', 'repeated'],
  },
  MetaGraphDef: {
    meta_info_def: [1, 'MetaInfoDef'],
    graph_def: [2, 'GraphDef'],
    saver_def: [3, 'SaverDef'],
    collection_def: [4, 'CollectionDef', 'map'],
    signature_def: [5, 'SignatureDef', 'map'],
    asset_file_def: [6, 'AssetFileDef', 'repeated'],
    object_graph_def: [7, 'SavedObjectGraph'],
  },
  MetaInfoDef: {
    meta_graph_version: [1, 'string'],
    stripped_op_list: [2, 'OpList'],
    any_info: [3, 'Any'],
    tags: [4, 'string', 'repeated'],
    tensorflow_version: [5, 'string'],
    tensorflow_git_version: [6, 'string'],
    stripped_default_attrs: [7, 'bool'],
    function_aliases: [8, 'string', 'map'],
  },
  OpList: { op: [1, 'OpDef', 'repeated'] },
  Any: { type_url: [1, 'string'], value: [2, 'bytes'] },
  SaverDef: {
    filename_tensor_name: [1, 'string'],
    save_tensor_name: [2, 'string'],
    restore_op_name: [3, 'string'],
    max_to_keep: [4, 'int32'],
    sharded: [5, 'bool'],
    keep_checkpoint_every_n_hours: [6, 'float'],
    version: [7, 'CheckpointFormatVersion'],
  },
  CollectionDef: {
    node_list: [1, 'NodeList', 'oneof'],
    bytes_list: [2, 'BytesList', 'oneof'],
    int64_list: [3, 'Int64List', 'oneof'],
    float_list: [4, 'FloatList', 'oneof'],
    any_list: [5, 'AnyList', 'oneof'],
  },
  NodeList: { value: [1, 'string', 'repeated'] },
  BytesList: { value: [1, 'bytes', 'repeated'] },
  Int64List: { value: [1, 'int64', 'repeated'] },
  FloatList: { value: [1, 'float', 'repeated'] },
  AnyList: { value: [1, 'Any', 'repeated'] },
  SignatureDef: {
    inputs: [1, 'TensorInfo', 'map'],
    outputs: [2, 'TensorInfo', 'map'],
    method_name: [3, 'string'],
    defaults: [4, 'TensorProto', 'map'],
  },
  TensorInfo: {
    name: [1, 'string', 'oneof'],
    dtype: [2, 'DataType'],
    tensor_shape: [3, 'TensorShapeProto'],
    coo_sparse: [4, 'CooSparse', 'oneof'],
    composite_tensor: [5, 'CompositeTensor', 'oneof'],
  },
  CooSparse: {
    values_tensor_name: [1, 'string'],
    indices_tensor_name: [2, 'string'],
    dense_shape_tensor_name: [3, 'string'],
  },
  CompositeTensor: { components: [2, 'TensorInfo', 'repeated'] },
  AssetFileDef: { tensor_info: [1, 'TensorInfo'], filename: [2, 'string'] },
  VariableDef: {
    variable_name: [1, 'string'],
    initializer_name: [2, 'string'],
    snapshot_name: [3, 'string'],
    save_slice_info_def: [4, 'SaveSliceInfoDef'],
    is_resource: [5, 'bool'],
    initial_value_name: [6, 'string'],
    trainable: [7, 'bool'],
    synchronization: [8, 'VariableSynchronization'],
    aggregation: [9, 'VariableAggregation'],
  },
  SaveSliceInfoDef: {
    full_name: [1, 'string'],
    full_shape: [2, 'int53', 'repeated'],
    var_offset: [3, 'int53', 'repeated'],
    var_shape: [4, 'int53', 'repeated'],
  },
} as const

const objectGraph = {
  TrackableObjectGraph: { nodes: [1, 'TrackableObject', 'repeated'] },
  TrackableObject: {
    children: [1, 'ObjectReference', 'repeated'],
    attributes: [2, 'SerializedTensor', 'repeated'],
    slot_variables: [3, 'SlotVariableReference', 'repeated'],
  },
  ObjectReference: { node_id: [1, 'int32'], local_name: [2, 'string'] },
  SerializedTensor: {
    name: [1, 'string'],
    full_name: [2, 'string'],
    checkpoint_key: [3, 'string'],
    optional_restore: [4, 'bool'],
  },
  SlotVariableReference: {
    original_variable_node_id: [1, 'int32'],
    slot_name: [2, 'string'],
    slot_variable_node_id: [3, 'int32'],
  },
  SavedObjectGraph: {
    nodes: [1, 'SavedObject', 'repeated'],
    concrete_functions: [2, 'SavedConcreteFunction', 'map'],
  },
  SavedObject: {
    children: [1, 'ObjectReference', 'repeated'],
    slot_variables: [3, 'SlotVariableReference', 'repeated'],
    user_object: [4, 'SavedUserObject', 'oneof'],
    asset: [5, 'SavedAsset', 'oneof'],
    function: [6, 'SavedFunction', 'oneof'],
    variable: [7, 'SavedVariable', 'oneof'],
    bare_concrete_function: [8, 'SavedBareConcreteFunction', 'oneof'],
    constant: [9, 'SavedConstant', 'oneof'],
    resource: [10, 'SavedResource', 'oneof'],
    saveable_objects: [11, 'SaveableObject', 'map'],
    captured_tensor: [12, 'CapturedTensor', 'oneof'],
    dependencies: [15, 'ObjectReference', 'repeated'],
  },
  SavedUserObject: {
    identifier: [1, 'string'],
    version: [2, 'VersionDef'],
    metadata: [3, 'string'],
  },
  SavedAsset: { asset_file_def_index: [1, 'int32'] },
  SavedFunction: { concrete_functions: [1, 'string', 'repeated'] },
  SavedVariable: {
    dtype: [1, 'DataType'],
    shape: [2, 'TensorShapeProto'],
    trainable: [3, 'bool'],
    synchronization: [4, 'VariableSynchronization'],
    aggregation: [5, 'VariableAggregation'],
    name: [6, 'string'],
    device: [7, 'string'],
  },
  SavedBareConcreteFunction: {
    concrete_function_name: [1, 'string'],
    argument_keywords: [2, 'string', 'repeated'],
    allowed_positional_arguments: [3, 'int53'],
  },
  SavedConstant: { operation: [1, 'string'] },
  SavedResource: { device: [1, 'string'] },
  SaveableObject: { save_function: [2, 'int32'], restore_function: [3, 'int32'] },
  CapturedTensor: { name: [1, 'string'], concrete_function: [2, 'string'] },
  SavedConcreteFunction: { bound_inputs: [2, 'int32', 'repeated'] },
} as const

const serving = {
  Example: { features: [1, 'Features'] },
  Features: { feature: [1, 'Feature', 'map'] },
  Feature: {
    bytes_list: [1, 'BytesList', 'oneof'],
    float_list: [2, 'FloatList', 'oneof'],
    int64_list: [3, 'Int64List', 'oneof'],
  },
  ModelSpec: {
    name: [1, 'string'],
    version: [2, 'Int64Value', 'oneof'],
    signature_name: [3, 'string'],
    version_label: [4, 'string', 'oneof'],
  },
  Int64Value: { value: [1, 'int64'] },
  PredictRequest: {
    model_spec: [1, 'ModelSpec'],
    inputs: [2, 'TensorProto', 'map'],
    output_filter: [3, 'string', 'repeated'],
  },
  PredictResponse: { outputs: [1, 'TensorProto', 'map'], model_spec: [2, 'ModelSpec'] },
} as const

/** Every wire message: message name to field name to row. */
export const schema = {
  ...checkpoint,
  ...tensor,
  ...graph,
  ...savedModel,
  ...objectGraph,
  ...serving,
} as const

/** The `Any` type URLs that we can look into, by their last part. */
export const anyTypes: Readonly<Record<string, MessageName>> = {
  'tensorflow.AssetFileDef': 'AssetFileDef',
  'tensorflow.OpList': 'OpList',
  'tensorflow.SignatureDef': 'SignatureDef',
}
