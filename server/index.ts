// The HTTP server: the application without a socket, and its settings.
export { buildApp, openApiOf } from './app.ts'
