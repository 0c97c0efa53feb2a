// Dawn's error scopes: the only way to learn synchronously made errors of a few calls.

/**
 * Runs `work` inside an out-of-memory and a validation scope and answers with the first error's
 * text, or undefined. The scopes close before the answer is awaited, so others may open theirs.
 */
export async function caught(device: GPUDevice, work: () => void): Promise<string | undefined> {
  device.pushErrorScope('out-of-memory')
  device.pushErrorScope('validation')
  let thrown: unknown
  try {
    work()
  } catch (error) {
    // Sizes that no number type holds throw at once instead of reaching a scope.
    thrown = error
  }
  const answers = [device.popErrorScope(), device.popErrorScope()]
  const [validation, memory] = await Promise.all(answers)
  if (thrown !== undefined) return String(thrown)
  return validation?.message ?? memory?.message
}
