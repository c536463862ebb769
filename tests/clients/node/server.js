// A real server for a test: on a free port, found by its own word, stopped by its process id.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import readline from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target')
const binary = process.env.RINGLANE_BINARY ?? path.join(target, 'test-server', 'ringlane')

/** Starts a server with these settings besides a free port and two lanes. */
export async function start (settings = {}) {
  const all = { port: 0, lanes: 2, maxmemory: '256mb', loglevel: 'warning', ...settings }
  const arguments_ = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)])
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RINGLANE_')))
  const child = spawn(binary, arguments_, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await Promise.race([
    once(readline.createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(([code]) => { throw new Error(`the server ended with ${code}`) })
  ])
  const [, port, lanes] = line.match(/^ready port=(\d+) lane-ports=([\d,]+)$/)
  return {
    port: Number(port),
    lanePorts: lanes.split(',').map(Number),
    async stop () {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const [code] = await exited
      if (code !== 0) throw new Error(`the server ended with ${code}`)
    }
  }
}

/** Requests that travelled between lanes, and MOVED replies, so far: from the text of INFO. */
export function detours (info) {
  const sum = pattern => [...info.matchAll(pattern)].reduce((total, [, n]) => total + Number(n), 0)
  return { moved: sum(/moved_replies:(\d+)/g), sent: sum(/requests_sent=(\d+)/g) }
}
