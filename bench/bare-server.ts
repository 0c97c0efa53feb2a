// A rival process: a bare fastify with one empty route, or a plain node:http server that writes and
// syncs bodies to a file (POST) and sends one buffer (GET /buffer). Prints its address.
import { open, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fastify from 'fastify'

const kind = process.argv[2]
if (kind === 'fastify') {
  const app = fastify()
  app.get('/empty', async () => ({ ok: true }))
  process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
} else {
  const path = join(tmpdir(), `holdfast-bench-${process.pid}`)
  const buffer = Buffer.alloc(Number(process.argv[3] ?? 0), 7)
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      response.setHeader('content-length', buffer.byteLength)
      response.end(buffer)
      return
    }
    const file = await open(path, 'w')
    for await (const piece of request) await file.write(piece as Uint8Array)
    await file.sync()
    await file.close()
    response.end('{}')
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    process.stdout.write(`http://127.0.0.1:${port}\n`)
  })
  process.once('SIGTERM', async () => {
    await rm(path, { force: true })
    process.exit(0)
  })
}
