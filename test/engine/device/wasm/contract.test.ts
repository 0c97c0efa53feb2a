import t from 'tap'
import { wasmDevice } from '../../../../engine/device/wasm/index.ts'
import { deviceContract } from '../../../contract/device.ts'

for (const threads of [1, 2]) {
  t.test(`the CPU device with threads: ${threads} keeps the contract of devices`, async (t) => {
    await deviceContract(t, () => wasmDevice({ threads }))
  })
}
