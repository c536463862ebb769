// node-redis, unmodified, in both versions of the protocol and as a cluster client.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createClient, createCluster } from 'redis'
import { detours, start } from './server.js'

let server
before(async () => { server = await start() })
after(() => server.stop())

for (const RESP of [2, 3]) {
  test(`strings, expiry and scans with RESP${RESP}`, async () => {
    const client = createClient({ url: `redis://127.0.0.1:${server.port}`, RESP })
    await client.connect()
    try {
      await client.flushAll()
      assert.equal(await client.set('a', '1', { EX: 100, NX: true }), 'OK')
      assert.equal(await client.set('a', '2', { NX: true }), null)
      assert.ok(await client.ttl('a') > 0)
      assert.equal(await client.incrBy('a', 41), 42)
      assert.equal(await client.getDel('a'), '42')
      const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set(`n:${i}`, `${i}`)))
      assert.ok(replies.every(reply => reply === 'OK'))
      const seen = new Set()
      for await (const keys of client.scanIterator({ MATCH: 'n:*' })) [keys].flat().forEach(k => seen.add(k))
      assert.equal(seen.size, 1000)
      assert.deepEqual(await client.mGet(['n:1', 'none']), ['1', null])
      await assert.rejects(client.sendCommand(['SET', 'a']), /wrong number of arguments for 'set' command/)
    } finally {
      client.destroy()
    }
  })
}

test('a cluster client reaches the owning lanes', async () => {
  const cluster = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${server.port}` }] })
  const front = createClient({ url: `redis://127.0.0.1:${server.port}` })
  await cluster.connect()
  await front.connect()
  try {
    const asked = async () => detours(await front.sendCommand(['INFO', 'stats', 'lanes']))
    const before = await asked()
    await Promise.all(Array.from({ length: 1000 }, (_, i) => cluster.set(`c:${i}`, `${i}`)))
    const values = await Promise.all(Array.from({ length: 1000 }, (_, i) => cluster.get(`c:${i}`)))
    assert.deepEqual(values, Array.from({ length: 1000 }, (_, i) => String(i)))
    assert.deepEqual(cluster.masters.map(node => node.port).sort(), [...server.lanePorts].sort())
    assert.deepEqual(await asked(), before)
  } finally {
    cluster.destroy()
    front.destroy()
  }
})
