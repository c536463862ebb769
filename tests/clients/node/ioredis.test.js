// ioredis, unmodified, as an application uses it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Redis, Cluster } from 'ioredis'
import { detours, start } from './server.js'

let server
before(async () => { server = await start() })
after(() => server.stop())

async function using (work, options = {}) {
  const redis = new Redis({ port: server.port, ...options })
  try {
    await redis.flushall()
    await work(redis)
  } finally {
    redis.disconnect()
  }
}

test('a cache in front of a slow API', () => using(async redis => {
  let asked = 0
  const slow = async id => { asked += 1; return { id, name: `user ${id}` } }
  const cached = async id => {
    const hit = await redis.get(`api:user:${id}`)
    if (hit) return JSON.parse(hit)
    const answer = await slow(id)
    await redis.set(`api:user:${id}`, JSON.stringify(answer), 'EX', 60)
    return answer
  }
  const first = await Promise.all(Array.from({ length: 100 }, (_, id) => cached(id)))
  const second = await Promise.all(Array.from({ length: 100 }, (_, id) => cached(id)))
  assert.deepEqual(second, first)
  assert.equal(asked, 100)
  assert.ok(await redis.ttl('api:user:1') > 0)
  await redis.unlink('api:user:1')
  await cached(1)
  assert.equal(asked, 101)
}))

test('automatic pipelines answer each in its place', () => using(async redis => {
  const writes = Array.from({ length: 2000 }, (_, i) => redis.set(`k:${i}`, i))
  assert.ok((await Promise.all(writes)).every(reply => reply === 'OK'))
  const reads = await Promise.all(Array.from({ length: 2000 }, (_, i) => redis.get(`k:${i}`)))
  assert.deepEqual(reads, Array.from({ length: 2000 }, (_, i) => String(i)))
  assert.equal((await redis.mget('k:1', 'none', 'k:1999')).join(), '1,,1999')
}, { enableAutoPipelining: true }))

test('streams of keys', () => using(async redis => {
  await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`s:${i}`, i])))
  const seen = new Set()
  for await (const keys of redis.scanStream({ match: 's:*', count: 50 })) keys.forEach(k => seen.add(k))
  assert.equal(seen.size, 500)
}))

test('buffers and errors', () => using(async redis => {
  const bytes = Buffer.from([0, 13, 10, 255])
  await redis.set(bytes, bytes)
  assert.deepEqual(await redis.getBuffer(bytes), bytes)
  await assert.rejects(redis.incr(bytes), /value is not an integer or out of range/)
  await assert.rejects(redis.call('NOSUCH', 'x'), /unknown command 'NOSUCH'/)
}))

test('a cluster client reaches the owning lanes', async () => {
  const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }])
  const front = new Redis({ port: server.port })
  try {
    await front.flushall()
    const asked = async () => detours(await front.info('stats', 'lanes'))
    const before = await asked()
    await Promise.all(Array.from({ length: 1000 }, (_, i) => cluster.set(`c:${i}`, i)))
    const values = await Promise.all(Array.from({ length: 1000 }, (_, i) => cluster.get(`c:${i}`)))
    assert.deepEqual(values, Array.from({ length: 1000 }, (_, i) => String(i)))
    assert.deepEqual(cluster.nodes('master').map(node => node.options.port).sort(), [...server.lanePorts].sort())
    assert.deepEqual(await asked(), before)
    const sizes = await Promise.all(cluster.nodes('master').map(node => node.dbsize()))
    assert.equal(sizes.reduce((a, b) => a + b), 1000)
  } finally {
    cluster.disconnect()
    front.disconnect()
  }
})
