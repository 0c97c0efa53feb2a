// TensorFlow 1's rules of names, scopes, devices, collections and get_variable, as data and functions:
// for a service that resolves requests against what it keeps, and for a graph under construction.
export { Collections, collectionsOfVariable } from './collections.ts'
export {
  type Cluster,
  type DeviceFunction,
  type DeviceScope,
  deviceOfOperation,
  type PlacedOperation,
  type ReplicaDevices,
  replicaDeviceSetter,
} from './device-scopes.ts'
export {
  type DeviceSpec,
  formatDevice,
  mergeDeviceTexts,
  parseDevice,
} from './device-spec.ts'
export { defaultInitializer } from './get-single.ts'
export { localVariable, namesLookedUp, resolveGetVariable } from './get-variable.ts'
export {
  type CollectionMember,
  type GraphOperation,
  GraphScopes,
  type GraphVariable,
  nameOfMember,
  type PartitionedGraphVariable,
  ScopeObject,
  type VariableRequest,
  type VariableScopeArguments,
} from './graph-scopes.ts'
export { checkOperationName, checkScopeName, NameScopes } from './name-scopes.ts'
export { maxParts, type Partitions, partitionsOf, type Slice, slicesOf } from './partition.ts'
export { scopeFilter } from './scope-filter.ts'
export type {
  ChosenInitializer,
  ExistingPartitioned,
  ExistingVariable,
  GetVariable,
  NewVariable,
  Resolution,
  VariableLookup,
  VariableResolution,
} from './variable-request.ts'
export {
  type Initializer,
  openScope,
  type Reuse,
  rootScope,
  type ScopeArguments,
  scopeAt,
  scopePaths,
  type VariableScope,
} from './variable-scope.ts'
