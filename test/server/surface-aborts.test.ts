// Clients that go away in the middle, or read slowly: nothing is left of the ones, and nobody suffers
// from the others.
import { once } from 'node:events'
import t from 'tap'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { type Ground, isProblem, layGround } from '../helper/ground.ts'
import { exchange, requestText, socketTo } from '../helper/raw.ts'
import { contentOf } from '../helper/store.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const mebibyte = 2 ** 20

const settleMs = 10_000

/** Waits until no connection but `ours` is left and the spool and the store are as they were. */
async function settled({ digest, service }: Ground, before: string): Promise<boolean> {
  const end = performance.now() + settleMs
  while (performance.now() < end) {
    await service.storeStatus()
    if ((await digest()) === before) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

/** Makes a variable of bytes with content of its own. */
async function makeBytes(ground: Ground, name: string, byteLength: number): Promise<void> {
  const json = { name, shape: [byteLength], dtype: 'uint8' }
  await ground.ask('POST /v1/variables', { json })
  const reply = await fetch(`${ground.base}/v1/variables/${name}:assign`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: Buffer.from(contentOf(byteLength, 1)),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

t.test(`uploads that break off at any byte leave nothing (seed ${seed})`, async (t) => {
  const ground = await layGround(t)
  const byteLength = 3 * mebibyte
  await makeBytes(ground, 'bytes', byteLength)
  const chance = chanceFrom(seed)
  const content = Buffer.from(contentOf(byteLength, 2))
  await ground.store.sweep()
  const before = await ground.digest()
  const files =
    'application/octet-stream,application/x-npy,application/x-safetensors,application/x-protobuf,application/json'
  for (let time = 0; time < 50; time++) {
    const type = chance.one(files.split(','))
    const isChunked = chance.happens(0.3)
    const length = isChunked ? 'transfer-encoding: chunked' : `content-length: ${byteLength}`
    const whole = type === 'application/json' ? Buffer.alloc(byteLength, '[1,') : content
    const sent = Buffer.from(
      whole.subarray(0, chance.whole(chance.happens(0.3) ? 300 : byteLength)),
    )
    const socket = await socketTo(ground.base)
    socket.on('error', () => undefined)
    const ended = once(socket, 'close')
    socket.resume()
    socket.write(requestText('POST /v1/variables/bytes:assign', [`content-type: ${type}`, length]))
    const body = isChunked ? Buffer.concat([Buffer.from('300000\r\n'), sent]) : sent
    socket.write(body, () => setTimeout(() => socket.destroy(), chance.whole(4)))
    await ended
  }
  t.ok(await settled(ground, before), 'row, staging and spool are as before')
  await ground.store.sweep()
  await ground.stands(t, before, `seed ${seed}`)
})

t.test(`downloads that break off at any byte leave nothing (seed ${seed})`, async (t) => {
  const ground = await layGround(t)
  await makeBytes(ground, 'bytes', 4 * mebibyte)
  await ground.store.sweep()
  const before = await ground.digest()
  const chance = chanceFrom(seed)
  const types = ['application/octet-stream', 'application/x-npy', 'application/x-safetensors']
  for (let time = 0; time < 50; time++) {
    const socket = await socketTo(ground.base)
    socket.on('error', () => undefined)
    const ended = once(socket, 'close')
    let left = chance.whole(chance.happens(0.3) ? 400 : 4 * mebibyte)
    socket.on('data', (piece) => {
      left -= piece.length
      if (left <= 0) socket.destroy()
    })
    const accept = `accept: ${chance.one(types)}`
    socket.write(requestText('GET /v1/variables/bytes:read_value', [accept]))
    await ended
  }
  t.ok(await settled(ground, before))
  await ground.ask('DELETE /v1/variables/bytes')
  await ground.store.sweep()
  const { packCount, looseBytes } = await ground.store.status()
  t.same({ packCount, looseBytes }, { packCount: 0, looseBytes: 0 }, 'no reader holds its chunks')
  t.equal((await ground.ask('GET /healthz')).status, 200)
})

t.test('readers that do not read take no memory and nobody else time', async (t) => {
  const ground = await layGround(t)
  const byteLength = 64 * mebibyte
  await makeBytes(ground, 'bytes', byteLength)
  const slow = await Promise.all(Array.from({ length: 4 }, () => socketTo(ground.base)))
  for (const socket of slow) {
    socket.pause()
    socket.on('error', () => undefined)
  }
  const before = memory()
  for (const socket of slow) {
    const accept = 'accept: application/octet-stream'
    socket.write(requestText('GET /v1/variables/bytes:read_value', [accept]))
  }
  const begun = performance.now()
  let most = 0
  for (let time = 0; time < 40; time++) {
    t.equal((await ground.ask('GET /v1/variables/whole:read_value')).json.value, 7)
    most = Math.max(most, memory() - before)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.ok(performance.now() - begun < 8_000, 'small reads go on')
  t.ok(
    most < 48 * mebibyte,
    `4 readers of 64 MiB that wait take ${Math.round(most / mebibyte)} MiB`,
  )
  const [reading, ...others] = slow
  for (const socket of others) socket.destroy()
  let received = 0
  reading.on('data', (piece) => {
    received += piece.length
  })
  reading.resume()
  await once(reading, 'close')
  t.ok(received > byteLength, 'who reads on in the end gets all')
})

t.test('headers and bodies that do not come end with 408, and others are served', async (t) => {
  const ground = await layGround(t)
  // Node looks at its connections every few seconds, whatever their limits.
  ground.http.headersTimeout = 200
  ground.http.requestTimeout = 400
  const before = await ground.digest()
  const head = 'POST /v1/variables/known:assign HTTP/1.1\r\nhost: x\r\n'
  const type = (name: string): string => `content-type: application/${name}\r\n`
  const slow: Readonly<Record<string, string>> = {
    'half a header': `${head}content-ty`,
    'half a JSON body': `${head}${type('json')}content-length: 7\r\n\r\n[4,5`,
    'half a raw body': `${head}${type('octet-stream')}content-length: 12\r\n\r\n1234`,
    'chunks without an end': `${head}${type('json')}transfer-encoding: chunked\r\n\r\n7\r\n[4,5,6]\r\n`,
  }
  const replies = Object.entries(slow).map(async ([name, text]) => {
    const [reply] = await exchange(ground.base, [text], 20_000)
    t.equal(reply?.status, 408, `${name}: ${reply?.body}`)
    if (reply !== undefined) isProblem(t, reply, name)
  })
  for (let time = 0; time < 10; time++) {
    t.equal((await ground.ask('GET /v1/variables/whole:read_value')).json.value, 7)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await Promise.all(replies)
  await ground.stands(t, before, 'after all')
})

/** Bytes of buffers and of the heap. What the system keeps for sockets is not among them. */
function memory(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}
