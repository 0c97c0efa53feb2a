// Schemas of graphs that are made of graphs: with gradients, and with train ops.
import { Type } from 'typebox'
import { Graph } from './graphs.ts'
import { shapeReply } from './shared.ts'

const tensorNames = (description: string) =>
  Type.Array(Type.String(), { minItems: 1, maxItems: 10_000, description })

/** Gradients to add to a graph. */
export const AddGradients = Type.Object(
  {
    ys: tensorNames('Tensors to differentiate; their gradients are added up.'),
    xs: tensorNames('Tensors to differentiate by; the name of a variable stands for its value.'),
    grad_ys: Type.Optional(
      Type.Array(Type.Union([Type.String(), Type.Null()]), {
        maxItems: 10_000,
        description: 'Tensors of the graph that flow into the ys, one for each; null: ones do.',
      }),
    ),
    stop_gradients: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 10_000,
        description: 'Tensors that count as constants.',
      }),
    ),
  },
  {
    title: 'AddGradients',
    additionalProperties: false,
    examples: [{ ys: ['loss'], xs: ['w', 'b'] }],
  },
)

const gradient = Type.Union([Type.String(), Type.Null()], {
  description: 'Name of the gradient, a tensor of the new graph; null where no y depends on the x.',
})

const indexedSlices = Type.Union(
  [
    Type.Object({ values: Type.String(), indices: Type.String(), dense_shape: Type.String() }),
    Type.Null(),
  ],
  { description: 'The same gradient in slices (names of tensors), where few slices of it count.' },
)

/** A new graph with gradients. */
export const GradientsReply = Type.Object(
  {
    graph: Graph,
    gradients: Type.Array(
      Type.Object({ x: Type.String(), gradient, indexed_slices: indexedSlices }),
      { description: 'In the order of the xs.' },
    ),
  },
  { title: 'GradientsReply' },
)

/** A train op to add to a graph. */
export const AddMinimize = Type.Object(
  {
    loss: Type.String({ description: 'The tensor to make small; several elements are added up.' }),
    optimizer: Type.Object(
      {
        kind: Type.String({
          description:
            'GradientDescent, Momentum, Adagrad, AdagradDA, Adadelta, Adam, AdaMax, RMSProp, Ftrl, ProximalGradientDescent or ProximalAdagrad.',
        }),
      },
      {
        additionalProperties: true,
        description:
          "Beside its kind the optimizer's settings by TensorFlow's names (learning_rate, beta1, momentum, use_nesterov, ..), with TensorFlow's defaults. In place of a number the name of a scalar tensor may stand, such as a placeholder to feed.",
      },
    ),
    variables: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        maxItems: 10_000,
        description:
          'Variables of the graph to train; all floating-point ones that the loss depends on unless given.',
      }),
    ),
    global_step: Type.Optional(
      Type.String({
        description:
          'An integer variable that each step raises by one; made where the graph has none of that name.',
      }),
    ),
  },
  {
    title: 'AddMinimize',
    additionalProperties: false,
    examples: [{ loss: 'loss', optimizer: { kind: 'Adam', learning_rate: 0.01 } }],
  },
)

/** A new graph with a train op. */
export const MinimizeReply = Type.Object(
  {
    graph: Graph,
    train_op: Type.String({ description: 'The target of a run that takes one step.' }),
    init_op: Type.String({
      description:
        'The target of a run that gives the variables made for training their first values; to run once, before the first step.',
    }),
    global_step: Type.Union([Type.String(), Type.Null()]),
    gradients: Type.Array(
      Type.Object({ variable: Type.String(), gradient, indexed_slices: indexedSlices }),
      { description: 'One for each variable that is trained.' },
    ),
    slot_variables: Type.Array(
      Type.Object({
        name: Type.String(),
        slot: Type.String({ description: "The optimizer's name for it, such as m or v." }),
        variable: Type.Union([Type.String(), Type.Null()], {
          description: 'The variable that it belongs to; null where it belongs to the whole graph.',
        }),
        initializer: Type.String({ description: 'The node that gives it its first value.' }),
        initial_value: Type.Number(),
        dtype: Type.String(),
        shape: shapeReply,
      }),
      { description: 'Variables that were made for training.' },
    ),
  },
  { title: 'MinimizeReply' },
)
