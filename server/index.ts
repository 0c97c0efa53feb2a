// The HTTP server: the application without a socket, and its settings.
export { type AppOptions, buildApp, openApiOf } from './app.ts'
export { type Config, ConfigError, readConfig } from './config.ts'
