// The reference device keeps the contract of devices, and its own limits.
import t from 'tap'
import { referenceDevice } from '../../../../engine/device/reference/index.ts'
import { deviceContract } from '../../../contract/device.ts'

t.test('the contract', (t) => deviceContract(t, async () => referenceDevice()))
t.test('the contract, with fewer types and little memory', (t) =>
  deviceContract(t, async () =>
    referenceDevice({ types: ['float32', 'int32', 'uint32', 'bool'], maxBufferBytes: 1 << 20 }),
  ),
)
