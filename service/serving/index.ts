// TensorFlow Serving's JSON: requests in, replies out.
export { exampleInputs } from './examples.ts'
export { invalid, parseRequest, predictInputs, signatureNameOf } from './request.ts'
export { classifyReply, predictReply, regressReply } from './response.ts'
export { decimalText } from './writer.ts'
