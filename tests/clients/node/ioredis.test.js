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

test('every type of data', () => using(async redis => {
  assert.equal(await redis.rpush('l', 'a', 'b', 'c'), 3)
  assert.deepEqual(await redis.lrange('l', 0, -1), ['a', 'b', 'c'])
  assert.equal(await redis.hset('h', { f: 'v', g: 'w' }), 2)
  assert.deepEqual(await redis.hgetall('h'), { f: 'v', g: 'w' })
  assert.deepEqual(await redis.call('HPEXPIRE', 'h', 100000, 'FIELDS', 1, 'f'), [1])
  await redis.sadd('e', 1, 2, 3)
  assert.deepEqual((await redis.sunion('e', 'none')).sort(), ['1', '2', '3'])
  await redis.zadd('z', 1.5, 'm', '+inf', 'n')
  assert.deepEqual(await redis.zrange('z', 0, -1, 'WITHSCORES'), ['m', '1.5', 'n', 'inf'])
  const id = await redis.xadd('x', '*', 'field', 'value')
  await redis.xgroup('CREATE', 'x', 'g', 0)
  assert.deepEqual(await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 9, 'STREAMS', 'x', '>'), [['x', [[id, ['field', 'value']]]]])
  assert.deepEqual(await redis.xpending('x', 'g'), [1, id, id, [['c', '1']]])
  await redis.geoadd('p', 13.361389, 38.115556, 'Palermo')
  assert.deepEqual(await redis.geohash('p', 'Palermo'), ['sqc8b49rny0'])
  assert.deepEqual(await redis.bitfield('b', 'SET', 'u4', 0, 9, 'GET', 'u4', 0), [0, 9])
  assert.equal(await redis.pfadd('s', 'a', 'b'), 1)
  const dump = await redis.dumpBuffer('z')
  assert.equal(await redis.restore('copy', 0, dump), 'OK')
  assert.equal(await redis.zscore('copy', 'm'), '1.5')
  const seen = {}
  for await (const found of redis.hscanStream('h')) for (let i = 0; i < found.length; i += 2) seen[found[i]] = found[i + 1]
  assert.deepEqual(seen, { f: 'v', g: 'w' })
}))

test('transactions, waiting, channels and commands made of scripts', () => using(async redis => {
  const other = redis.duplicate()
  try {
    assert.deepEqual(await redis.multi().set('a', 1).incr('a').lpush('a', 'x').exec().then(all => all.map(([error, value]) => error?.message ?? value)),
      ['OK', 2, 'WRONGTYPE Operation against a key holding the wrong kind of value'])
    await redis.watch('a')
    await other.set('a', 'changed')
    assert.equal(await redis.multi().get('a').exec(), null)
    const waiting = redis.bzpopmin('none', 'z', 0)
    await other.zadd('z', 2, 'm')
    assert.deepEqual(await waiting, ['z', 'm', '2'])
    const heard = new Promise(resolve => other.on('pmessage', (...said) => resolve(said)))
    await other.psubscribe('new?')
    assert.equal(await redis.publish('news', 'hello'), 1)
    assert.deepEqual(await heard, ['new?', 'news', 'hello'])
    redis.defineCommand('addTwice', { numberOfKeys: 1, lua: 'return redis.call("INCRBY", KEYS[1], 2 * ARGV[1])' })
    assert.deepEqual([await redis.addTwice('n', 4), await redis.addTwice('n', 1)], [8, 10])
    await redis.script('FLUSH')
    assert.equal(await redis.addTwice('n', 1), 12)
  } finally {
    other.disconnect()
  }
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
