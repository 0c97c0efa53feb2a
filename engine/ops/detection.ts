// Boxes in images: choosing the best of those that overlap, and drawing them. Algorithms, on the host.
import {
  elementsOf,
  formatShape,
  type NumericDType,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { integerOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

function numbersOf(tensor: Tensor): Float64Array {
  if (tensor.dtype === 'string') throw new Error('boxes are numbers')
  return Float64Array.from(elementsOf(tensor), Number)
}

/** How alike boxes `i` and `j` are. */
type Similarity = (i: number, j: number) => number

const { fround } = Math

/** Shared area over joint area of boxes `[y1, x1, y2, x2]`, any two corners. */
function overlapOf(boxes: Float64Array): Similarity {
  const sideOf = (box: number, axis: 0 | 1): readonly [number, number] => {
    const [start, end] = [boxes[4 * box + axis], boxes[4 * box + axis + 2]]
    return [Math.min(start, end), Math.max(start, end)]
  }
  const areaOf = (box: number): number => {
    const [[top, bottom], [left, right]] = [sideOf(box, 0), sideOf(box, 1)]
    return fround(fround(bottom - top) * fround(right - left))
  }
  return (i, j) => {
    const [own, other] = [areaOf(i), areaOf(j)]
    if (own <= 0 || other <= 0) return 0
    const shared = ([0, 1] as const).map((axis) => {
      const [[start, end], [otherStart, otherEnd]] = [sideOf(i, axis), sideOf(j, axis)]
      return Math.max(fround(Math.min(end, otherEnd) - Math.max(start, otherStart)), 0)
    })
    const both = fround(shared[0] * shared[1])
    return fround(both / fround(fround(own + other) - both))
  }
}

interface Choice {
  readonly scores: Float64Array
  readonly similarity: Similarity
  readonly most: number
  readonly threshold: number
  readonly leastScore: number
  /** 0: what overlaps too much is dropped; else scores fall with the overlap (Soft-NMS). */
  readonly sigma: number
}

interface Candidate {
  readonly box: number
  score: number
  /** Chosen boxes that it was compared with already. */
  compared: number
}

/** Highest score first, then lowest number: a heap of candidates. */
class Candidates {
  readonly #heap: Candidate[] = []

  static before(x: Candidate, y: Candidate): boolean {
    return x.score > y.score || (x.score === y.score && x.box < y.box)
  }

  push(candidate: Candidate): void {
    const heap = this.#heap
    heap.push(candidate)
    let place = heap.length - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!Candidates.before(heap[place], heap[parent])) return
      ;[heap[place], heap[parent]] = [heap[parent], heap[place]]
      place = parent
    }
  }

  pop(): Candidate | undefined {
    const heap = this.#heap
    const [top] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return top
    heap[0] = last
    let place = 0
    for (;;) {
      const left = 2 * place + 1
      const right = left + 1
      let first = place
      if (left < heap.length && Candidates.before(heap[left], heap[first])) first = left
      if (right < heap.length && Candidates.before(heap[right], heap[first])) first = right
      if (first === place) return top
      ;[heap[place], heap[first]] = [heap[first], heap[place]]
      place = first
    }
  }
}

/** The chosen boxes and their scores. Source: tensorflow/core/kernels/image/non_max_suppression_op.cc. */
function chosenOf(choice: Choice): {
  readonly boxes: readonly number[]
  readonly scores: readonly number[]
} {
  const candidates = new Candidates()
  for (const [box, score] of choice.scores.entries()) {
    if (score > choice.leastScore) candidates.push({ box, score, compared: 0 })
  }
  const boxes: number[] = []
  const scores: number[] = []
  const isSoft = choice.sigma > 0
  const scale = isSoft ? -0.5 / choice.sigma : 0
  while (boxes.length < choice.most) {
    const next = candidates.pop()
    if (next === undefined) break
    const former = next.score
    let isDropped = false
    for (let place = boxes.length - 1; place >= next.compared; place--) {
      const similarity = choice.similarity(next.box, boxes[place])
      if (!isSoft && similarity > choice.threshold) {
        isDropped = true
        break
      }
      const weight = similarity <= choice.threshold ? Math.exp(scale * similarity ** 2) : 0
      next.score = fround(next.score * weight)
      if (next.score <= choice.leastScore) break
    }
    next.compared = boxes.length
    if (isDropped) continue
    if (next.score === former) {
      boxes.push(next.box)
      scores.push(next.score)
    } else if (next.score > choice.leastScore) candidates.push(next)
  }
  return { boxes, scores }
}

function numberInput(at: Lowering, name: string): number {
  const value = at.input(name)
  const all = numbersOf(at.contentOf(value))
  if (value.shape.length === 0) return all[0]
  throw invalid('shape/mismatch', `${name} must be 0-D, got shape ${formatShape(value.shape)}`)
}

/** Refuses boxes and scores whose shapes do not fit each other. */
function checkBoxes(boxes: TensorValue, scores: TensorValue, isSquare: boolean): void {
  const { shape } = boxes
  if (shape.length !== 2) {
    throw invalid('shape/mismatch', `boxes must be 2-D, got shape ${formatShape(shape)}`)
  }
  if (isSquare && shape[0] !== shape[1]) {
    throw invalid('shape/mismatch', `overlaps must be square, got shape ${formatShape(shape)}`)
  }
  if (!isSquare && shape[1] !== 4) throw invalid('shape/mismatch', 'boxes must have 4 columns')
  if (scores.shape.length !== 1 || scores.shape[0] !== shape[0]) {
    throw invalid('shape/mismatch', 'scores has incompatible shape')
  }
}

interface Form {
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: readonly string[]
}

function suppression(form: Form): OpDefinition {
  const names = form.inputs.map((text) => text.split(':')[0])
  const has = (name: string): boolean => names.includes(name)
  const isOverlap = has('overlaps')
  const threshold = isOverlap ? 'overlap_threshold' : 'iou_threshold'
  const padded = form.attributes.some((text) => text.startsWith('pad_to_max_output_size'))
  return defineOp({
    ...form,
    lower: (at) => {
      const [boxes, scores] = [at.input(names[0]), at.input('scores')]
      checkBoxes(boxes, scores, isOverlap)
      const most = integerOf(at.contentOf(at.input('max_output_size')), 'max_output_size')
      if (most < 0) throw invalid('run/range', 'max_output_size must be non-negative')
      const limit = has(threshold) ? numberInput(at, threshold) : at.attributes.float(threshold)
      if (!isOverlap && !(limit >= 0 && limit <= 1)) {
        throw invalid('run/range', 'iou_threshold must be in [0, 1]')
      }
      const sigma = has('soft_nms_sigma') ? numberInput(at, 'soft_nms_sigma') : 0
      if (!(sigma >= 0)) throw invalid('run/range', 'soft_nms_sigma must be >= 0')
      const leastScore = has('score_threshold')
        ? numberInput(at, 'score_threshold')
        : Number.NEGATIVE_INFINITY
      const isPadded = padded && at.attributes.bool('pad_to_max_output_size')
      return chosenStep(at, form.outputs.length, [boxes, scores], isPadded, (all) => ({
        scores: all[1],
        similarity: isOverlap ? (i, j) => all[0][i * all[1].length + j] : overlapOf(all[0]),
        most,
        threshold: limit,
        leastScore,
        sigma,
      }))
    },
  })
}

/** The step that chooses, with one output (boxes), two (and how many) or three (scores between). */
function chosenStep(
  at: Lowering,
  outputs: number,
  inputs: readonly [TensorValue, TensorValue],
  isPadded: boolean,
  choiceOf: (all: readonly Float64Array[]) => Choice,
): readonly TensorValue[] {
  const dtype = inputs[1].dtype as NumericDType
  const size = isPadded ? choiceOf([new Float64Array(0), new Float64Array(0)]).most : undefined
  const shape: Shape | undefined = size === undefined ? undefined : [size]
  const kinds = [
    { dtype: 'int32', shape } as const,
    ...(outputs === 3 ? [{ dtype, shape }] : []),
    ...(outputs > 1 ? [{ dtype: 'int32', shape: [] } as const] : []),
  ]
  return at.step({
    inputs,
    outputs: kinds,
    run: (tensors) => {
      const { boxes, scores } = chosenOf(choiceOf(tensors.map(numbersOf)))
      const length = size ?? boxes.length
      const fit = (list: readonly number[]): number[] =>
        Array.from({ length }, (_, place) => list[place] ?? 0)
      return [
        tensorOfElements('int32', [length], fit(boxes)),
        ...(outputs === 3 ? [tensorOfElements(dtype, [length], fit(scores))] : []),
        ...(outputs > 1 ? [tensorOfElements('int32', [], [boxes.length])] : []),
      ]
    },
  })
}

const typed = ['T: {half, float} = float', 'T_threshold: {half, float} = float']
const paddedAttribute = 'pad_to_max_output_size: bool = false'
const boxed = ['boxes: T', 'scores: T', 'max_output_size: int32']

const suppressions: readonly OpDefinition[] = [
  suppression({
    name: 'NonMaxSuppression',
    inputs: ['boxes: float', 'scores: float', 'max_output_size: int32'],
    outputs: ['selected_indices: int32'],
    attributes: ['iou_threshold: float = 0.5'],
  }),
  suppression({
    name: 'NonMaxSuppressionV2',
    inputs: [...boxed, 'iou_threshold: T_threshold'],
    outputs: ['selected_indices: int32'],
    attributes: typed,
  }),
  suppression({
    name: 'NonMaxSuppressionV3',
    inputs: [...boxed, 'iou_threshold: T_threshold', 'score_threshold: T_threshold'],
    outputs: ['selected_indices: int32'],
    attributes: typed,
  }),
  suppression({
    name: 'NonMaxSuppressionV4',
    inputs: [...boxed, 'iou_threshold: T_threshold', 'score_threshold: T_threshold'],
    outputs: ['selected_indices: int32', 'valid_outputs: int32'],
    attributes: [...typed, paddedAttribute],
  }),
  suppression({
    name: 'NonMaxSuppressionV5',
    inputs: [...boxed, 'iou_threshold: T', 'score_threshold: T', 'soft_nms_sigma: T'],
    outputs: ['selected_indices: int32', 'selected_scores: T', 'valid_outputs: int32'],
    attributes: ['T: {half, float} = float', paddedAttribute],
  }),
  suppression({
    name: 'NonMaxSuppressionWithOverlaps',
    inputs: [
      'overlaps: float',
      'scores: float',
      'max_output_size: int32',
      'overlap_threshold: float',
      'score_threshold: float',
    ],
    outputs: ['selected_indices: int32'],
    attributes: [],
  }),
]

/** Yellow, blue, red, lime, purple, olive, maroon, navy, aqua, fuchsia. */
const defaultColors: readonly (readonly number[])[] = [
  [1, 1, 0, 1],
  [0, 0, 1, 1],
  [1, 0, 0, 1],
  [0, 1, 0, 1],
  [0.5, 0, 0.5, 1],
  [0.5, 0.5, 0, 1],
  [0.5, 0, 0, 1],
  [0, 0, 0.5, 1],
  [0, 1, 1, 1],
  [1, 0, 1, 1],
]

/** The given colors, else the usual ones: on a gray image white. */
function colorsOf(tensor: Tensor | undefined, depth: number): readonly (readonly number[])[] {
  const [count, parts] = tensor?.shape ?? [0, 0]
  if (tensor === undefined || count === 0) return depth === 1 ? [[1]] : defaultColors
  const all = numbersOf(tensor)
  return Array.from({ length: count }, (_, color) => [
    ...all.slice(color * parts, (color + 1) * parts),
  ])
}

/** Draws the outline of one box; what lies beyond the image is left out. */
function drawBox(
  [rows, columns, depth]: readonly [number, number, number],
  box: readonly number[],
  paint: (row: number, column: number) => void,
): void {
  const cut = (part: number, size: number): number => Math.trunc(fround(part * (size - 1)))
  const [top, left] = [cut(box[0], rows), cut(box[1], columns)]
  const [bottom, right] = [cut(box[2], rows), cut(box[3], columns)]
  const isOutside = top >= rows || bottom < 0 || left >= columns || right < 0
  if (depth === 0 || top > bottom || left > right || isOutside) return
  const [firstRow, lastRow] = [Math.max(top, 0), Math.min(bottom, rows - 1)]
  const [firstColumn, lastColumn] = [Math.max(left, 0), Math.min(right, columns - 1)]
  for (let column = firstColumn; column <= lastColumn; column++) {
    if (top >= 0) paint(top, column)
    if (bottom < rows) paint(bottom, column)
  }
  for (let row = firstRow; row <= lastRow; row++) {
    if (left >= 0) paint(row, left)
    if (right < columns) paint(row, right)
  }
}

function drawBoxes(
  images: Tensor,
  boxes: Tensor,
  colors: readonly (readonly number[])[],
): Float64Array {
  const canvas = numbersOf(images)
  const [batch, rows, columns, depth] = images.shape
  const count = boxes.shape[1]
  const corners = numbersOf(boxes)
  for (let image = 0; image < batch; image++) {
    for (let box = 0; box < count; box++) {
      const from = (image * count + box) * 4
      const color = colors[box % colors.length]
      drawBox([rows, columns, depth], [...corners.slice(from, from + 4)], (row, column) => {
        const pixel = ((image * rows + row) * columns + column) * depth
        for (let channel = 0; channel < depth; channel++) canvas[pixel + channel] = color[channel]
      })
    }
  }
  return canvas
}

const drawBoundingBoxes = (version: 1 | 2): OpDefinition =>
  defineOp({
    name: `DrawBoundingBoxes${version === 1 ? '' : 'V2'}`,
    inputs: ['images: T', 'boxes: float', ...(version === 1 ? [] : ['colors: float'])],
    outputs: ['output: T'],
    attributes: ['T: {float, half} = float'],
    infer: (shapes) => [shapes[0]],
    lower: (at) => {
      const [images, boxes] = [at.input('images'), at.input('boxes')]
      const { dtype, shape } = images
      if (shape.length !== 4) throw invalid('shape/mismatch', 'The rank of the images should be 4')
      if (boxes.shape.length !== 3 || boxes.shape[2] !== 4) {
        throw invalid('shape/mismatch', 'boxes must be [batch, num_boxes, 4]')
      }
      if (boxes.shape[0] !== shape[0]) {
        throw invalid('shape/mismatch', 'The batch sizes should be the same')
      }
      if (![1, 3, 4].includes(shape[3])) {
        throw invalid(
          'shape/mismatch',
          'Channel depth should be either 1 (GRY), 3 (RGB), or 4 (RGBA)',
        )
      }
      const colors = version === 1 ? [] : [at.input('colors')]
      for (const table of colors) {
        if (table.shape.length === 2 && (table.shape[0] === 0 || table.shape[1] >= shape[3]))
          continue
        throw invalid(
          'shape/mismatch',
          `colors must be a 2-D matrix with a color of ${shape[3]} parts in each row, but has shape ${formatShape(table.shape)}`,
        )
      }
      return at.step({
        inputs: [images, boxes, ...colors],
        outputs: [{ dtype, shape }],
        run: ([canvas, corners, table]) => [
          tensorOfElements(
            dtype as NumericDType,
            shape,
            drawBoxes(canvas, corners, colorsOf(table, shape[3])),
          ),
        ],
      })
    },
  })

/** Boxes in images. */
export const detectionOps: readonly OpDefinition[] = [
  ...suppressions,
  drawBoundingBoxes(1),
  drawBoundingBoxes(2),
]
