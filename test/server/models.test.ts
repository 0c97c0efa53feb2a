// Models over HTTP: what TensorFlow Serving's own tests ask of its REST surface, and what is ours.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { collect, protoOfTensor, tensorOfProto, writeTar } from '../../formats/index.ts'
import { decodePredictResponse, encodePredictRequest } from '../../proto/index.ts'
import { numericTensor } from '../../tensor/index.ts'
import { sharedFolder } from '../helper/shared.ts'
import { floats, startServer } from './helper.ts'

const golden = join(import.meta.dirname, '../golden/saved_models')

/** A tar of a folder and what is below it, under a folder of its own. */
export async function tarOfFolder(folder: string, prefix = ''): Promise<Uint8Array> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => statSync(join(folder, name)).isFile() && !name.endsWith('.json'),
  )
  const tar = writeTar(
    names.map((name) => {
      const bytes = readFileSync(join(folder, name))
      return {
        name: `${prefix}${name}`,
        byteLength: bytes.byteLength,
        async *chunks() {
          yield bytes
        },
      }
    }),
  )
  return collect(tar.chunks(), tar.byteLength)
}

const tarType = { 'content-type': 'application/x-tar' }

t.test('models over HTTP', async (t) => {
  const { call, spooled } = await startServer(t, { demo: true })
  const predict = (model: string, body: unknown, headers = {}) =>
    call(`POST /v1/models/${model}:predict`, { body: JSON.stringify(body), headers })

  t.test('the demonstration model answers, and lists itself', async (t) => {
    const row = await predict('demo', { instances: [1, 2, 5] })
    t.equal(row.status, 200)
    t.equal(row.text, '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}')
    t.same((await predict('demo/versions/1', { inputs: [1, 2, 5] })).json, {
      outputs: [2.5, 3, 4.5],
    })
    const { models } = (await call('GET /v1/models')).json
    t.match(models, [{ name: 'demo', version: 1, state: 'AVAILABLE', container: 'models/demo/1' }])
  })

  t.test('assigning a variable of a served model changes its next answer', async (t) => {
    const container = '?container=models/demo/1'
    t.equal((await call(`GET /v1/variables/b:read_value${container}`)).json.value, 2)
    await call('POST /v1/checkpoints?container=models/demo/1', { json: { labels: ['demo'] } })
    await call(`POST /v1/variables/b:assign${container}`, { json: 10 })
    t.same((await predict('demo', { instances: [1] })).json.predictions, [10.5])
    await call(`POST /v1/variables/b:assign_add${container}`, { json: 1 })
    t.same((await predict('demo', { instances: [1] })).json.predictions, [11.5])
    await call('POST /v1/checkpoints/demo:restore')
    t.same((await predict('demo', { instances: [1] })).json.predictions, [2.5])
  })

  t.test('a SavedModel of TensorFlow is taken in and answers', async (t) => {
    const body = await tarOfFolder(join(golden, 'tf_half_plus_two'), 'half_plus_two/')
    const put = await call('PUT /v1/models/half_plus_two/versions/123', { body, headers: tarType })
    t.equal(put.status, 201, put.text)
    t.match(put.json, { name: 'half_plus_two', version: 123, state: 'AVAILABLE', error: null })
    t.same((await predict('half_plus_two', { instances: [[1], [2]] })).json.predictions, [
      [2.5],
      [3],
    ])
    const { variables } = (await call('GET /v1/variables?container=models/half_plus_two/123')).json
    t.same(variables.map((one: { name: string }) => one.name).sort(), [
      'a',
      'b',
      'c',
      'filename_tensor',
    ])
    const again = await call('PUT /v1/models/half_plus_two/versions/123', {
      body,
      headers: tarType,
    })
    t.equal(again.status, 409)
    t.same(await spooled(), [])
  })

  t.test('the newest version is asked unless one is named', async (t) => {
    const body = await tarOfFolder(join(golden, 'tf_half_plus_two'))
    await call('PUT /v1/models/half_plus_two/versions/124', { body, headers: tarType })
    const container = '?container=models/half_plus_two/124'
    await call(`POST /v1/variables/b:assign${container}`, { json: 100 })
    const first = async (path: string) =>
      (await predict(path, { instances: [[1]] })).json.predictions[0][0]
    t.equal(await first('half_plus_two'), 100.5)
    t.equal(await first('half_plus_two/versions/123'), 2.5)
    const status = await call('GET /v1/models/half_plus_two')
    t.same(
      status.json.model_version_status.map((one: { version: string }) => one.version),
      ['124', '123'],
    )
    t.equal((await call('DELETE /v1/models/half_plus_two/versions/124')).status, 204)
    t.equal(await first('half_plus_two'), 2.5)
    t.equal((await call(`GET /v1/variables${container}`)).json.variables.length, 0)
  })

  t.test('status and metadata are those of TensorFlow Serving', async (t) => {
    const status = {
      model_version_status: [
        { version: '123', state: 'AVAILABLE', status: { error_code: 'OK', error_message: '' } },
      ],
    }
    t.same((await call('GET /v1/models/half_plus_two')).json, status)
    t.same((await call('GET /v1/models/half_plus_two/versions/123')).json, status)
    const metadata = await call('GET /v1/models/half_plus_two/metadata')
    t.match(metadata.json, {
      model_spec: { name: 'half_plus_two', signature_name: '', version: '123' },
      metadata: {
        signature_def: {
          signature_def: {
            serving_default: {
              inputs: {
                x: {
                  dtype: 'DT_FLOAT',
                  tensor_shape: {
                    dim: [{ size: '-1', name: '' }, { size: '1' }],
                    unknown_rank: false,
                  },
                  name: 'x:0',
                },
              },
              method_name: 'tensorflow/serving/predict',
            },
          },
        },
      },
    })
  })

  t.test("refusals have TensorFlow Serving's bodies and statuses", async (t) => {
    const cases: readonly (readonly [string, string, number, string | RegExp])[] = [
      ['POST /v1/models/demo:predict', '', 400, /JSON Parse error: The document is empty/],
      [
        'POST /v1/models/demo:predict',
        'instances = [1, 2]',
        400,
        /JSON Parse error: Invalid value/,
      ],
      ['POST /v1/models/demo:predict', '[]', 400, /Is not object/],
      [
        'POST /v1/models/demo:predict',
        '{"instances":["x","y"]}',
        400,
        /is not of expected type: float/,
      ],
      [
        'POST /v1/models/demo:predict',
        '{"signature_name":100,"instances":[1]}',
        400,
        /'signature_name' key must be a string value/,
      ],
      [
        'POST /v1/models/demo:predict',
        '{"instances":[1],"inputs":[1]}',
        400,
        /Not formatted correctly expecting only one of/,
      ],
      ['POST /v1/models/demo:predict', '{}', 400, "Missing 'inputs' or 'instances' key"],
      ['POST /v1/models/demo:predict', '{"instances":[]}', 400, /No values in 'instances' array/],
      [
        'POST /v1/models/demo:predict',
        '{"instances":[[1,2],[3]]}',
        400,
        /Expecting tensor size: 2 but got: 1/,
      ],
      [
        'POST /v1/models/demo:predict',
        '{"signature_name":"no","instances":[1]}',
        400,
        'Serving signature name: "no" not found in signature def',
      ],
      ['POST /v1/models/demo:predict', '{"instances":[[1,2]]}', 400, /shape/],
      [
        'POST /v1/models/demo:regress',
        '{"examples":[{"x":1}]}',
        400,
        /Expected regression signature method_name to be tensorflow\/serving\/regress/,
      ],
      [
        'POST /v1/models/demo:classify',
        '{"signature_name":"no","examples":[{"x":1}]}',
        400,
        'No signature was found with the name: no',
      ],
      [
        'POST /v1/models/none:predict',
        '{"instances":[1]}',
        404,
        'Servable not found for request: Latest(none)',
      ],
      [
        'POST /v1/models/demo/versions/9:predict',
        '{"instances":[1]}',
        404,
        'Servable not found for request: Specific(demo, 9)',
      ],
      [
        'POST /v1/models/demo/labels/no:predict',
        '{"instances":[1]}',
        400,
        'Unrecognized servable version label: no',
      ],
      ['GET /v1/models/none', '', 404, 'Could not find any versions of model none'],
      ['GET /v1/models/demo/versions/9', '', 404, 'Could not find version 9 of model demo'],
      ['GET /v1/models/demo:predict', '', 400, 'Malformed request: GET /v1/models/demo:predict'],
      [
        'POST /v1/models/demo/metadata',
        '',
        400,
        'Malformed request: POST /v1/models/demo/metadata',
      ],
      [
        'GET /v1/models/demo/versions/x',
        '',
        400,
        'Malformed request: GET /v1/models/demo/versions/x',
      ],
      ['GET /v1/models/demo/versions/99999999999999999999', '', 400, /Failed to convert version/],
    ]
    for (const [request, body, status, message] of cases) {
      const isGet = request.startsWith('GET')
      const reply = await call(request, isGet ? {} : { body })
      t.equal(reply.status, status, `${request} ${body}`)
      t.match(reply.json, { error: message })
      t.same(Object.keys(reply.json ?? {}), ['error'])
    }
  })

  t.test('regress and classify answer examples', async (t) => {
    const ask = (method: string, body: string) =>
      call(`POST /v1/models/half_plus_two:${method}`, { body })
    const regressed = await ask(
      'regress',
      '{"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}, {"x": 20.0}]}',
    )
    t.same(regressed.json, { results: [42, 12] }, regressed.text)
    const classified = await ask(
      'classify',
      '{"signature_name": "classify_x_to_y", "context": {"x": 20.0}, "examples": [{}, {"x": 10.0}]}',
    )
    t.same(classified.json, { results: [[['', 12]], [['', 7]]] }, classified.text)
  })

  t.test('a serialized PredictRequest is answered with a PredictResponse', async (t) => {
    const tensor = numericTensor('float32', [3], floats(1, 2, 5))
    const body = encodePredictRequest({ inputs: new Map([['x', protoOfTensor(tensor)]]) })
    const reply = await call('POST /v1/models/demo:predict', {
      body,
      headers: { 'content-type': 'application/x-protobuf' },
    })
    const output = decodePredictResponse(reply.bytes).outputs.get('y')
    t.ok(output)
    if (output) t.same(tensorOfProto(output), numericTensor('float32', [3], floats(2.5, 3, 4.5)))
  })

  t.test('what is no SavedModel is refused and nothing of it is kept', async (t) => {
    const put = (body: Uint8Array | string, headers = tarType) =>
      call('PUT /v1/models/bad/versions/1', { body, headers })
    const empty = await tarOfFolder(join(golden, 'tf_half_plus_two', 'variables'))
    t.equal((await put(empty)).json.reason, 'saved-model/not-found')
    t.equal((await put('nothing')).status, 422)
    t.equal((await put('x', { 'content-type': 'text/html' })).status, 415)
    t.equal((await call('PUT /v1/models/bad/versions/1')).status, 400)
    t.equal((await call('DELETE /v1/models/bad/versions/1')).status, 404)
    t.equal((await call('GET /v1/models/bad')).status, 404)
    t.notOk((await call('GET /v1/containers')).json.containers.includes('models/bad/1'))
    t.same(await spooled(), [])
  })
})

t.test('a SavedModel of 2016 loads its variables of the first format', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const { call } = await startServer(t)
  const folder = join(shared, 'fixtures/checkpoints_v1/savedmodel_v1_variables_sharded')
  const body = await tarOfFolder(folder)
  const put = await call('PUT /v1/models/old/versions/1', { body, headers: tarType })
  t.equal(put.status, 201, put.text)
  const { variables } = (await call('GET /v1/variables?container=models/old/1')).json
  t.equal(variables.length, 2)
  t.ok(variables.every((one: { initialized: boolean }) => one.initialized))
  // The signature names input and output; half plus two.
  const reply = await call('POST /v1/models/old:predict', {
    json: { signature_name: 'regression', inputs: 4 },
  })
  t.equal(reply.json.outputs, 4, reply.text)
})

t.test('the recorded SavedModels answer as recorded', async (t) => {
  const shared = sharedFolder(t)
  const { call } = await startServer(t, { device: '/device:CPU:0' })
  for (const name of ['linear_tf1', 'keras_mlp', 'convnet_tf1']) {
    const folders = [
      join(golden, name),
      ...(shared ? [join(shared, 'conformance/saved_models', name)] : []),
    ]
    const folder = folders.find((one) => existsSync(join(one, 'saved_model.pb')))
    if (folder === undefined) continue
    const body = await tarOfFolder(folder)
    const put = await call(`PUT /v1/models/${name}/versions/1`, { body, headers: tarType })
    t.equal(put.status, 201, put.text)
    const expected = JSON.parse(readFileSync(`${folder}.expected.json`, 'utf8'))
    const served = new Set(put.json.signatures)
    for (const { signature, inputs, outputs } of expected.calls) {
      const plain = Object.values<{ dtype: string }>(inputs).every(
        ({ dtype }) => dtype === 'DT_FLOAT',
      )
      if (!plain || !served.has(signature)) continue
      const reply = await call(`POST /v1/models/${name}:predict`, {
        body: JSON.stringify({
          signature_name: signature,
          inputs: Object.fromEntries(
            Object.entries<Recorded>(inputs).map(([key, tensor]) => [key, nested(tensor)]),
          ),
        }),
      })
      t.equal(reply.status, 200, `${name} ${reply.text.slice(0, 300)}`)
      const several = Object.keys(outputs).length > 1
      for (const [key, tensor] of Object.entries<Recorded>(outputs)) {
        if (tensor.dtype !== 'DT_FLOAT' && tensor.dtype !== 'DT_INT64') continue
        const got = (several ? reply.json.outputs[key] : reply.json.outputs) as unknown
        const flat = [got].flat(Number.POSITIVE_INFINITY) as number[]
        const { abs, rel } = expected.tolerance
        const wanted = valuesOf(tensor)
        t.equal(flat.length, wanted.length)
        const worst = flat.findIndex(
          (value, index) => Math.abs(value - wanted[index]) > abs + rel * Math.abs(wanted[index]),
        )
        t.equal(worst, -1, `${name} ${signature} ${key}`)
      }
    }
  }
})

interface Recorded {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data: string
}

function valuesOf({ dtype, data }: Recorded): readonly number[] {
  const { buffer } = new Uint8Array(Buffer.from(data, 'base64'))
  return dtype === 'DT_INT64'
    ? [...new BigInt64Array(buffer)].map(Number)
    : [...new Float32Array(buffer)]
}

function nested(tensor: Recorded): unknown {
  const values = [...valuesOf(tensor)]
  const build = (axis: number): unknown =>
    axis === tensor.shape.length
      ? values.shift()
      : Array.from({ length: tensor.shape[axis] }, () => build(axis + 1))
  return build(0)
}
