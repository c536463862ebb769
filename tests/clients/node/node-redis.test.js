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

for (const RESP of [2, 3]) {
  test(`every type of data with RESP${RESP}`, async () => {
    const client = createClient({ url: `redis://127.0.0.1:${server.port}`, RESP })
    await client.connect()
    try {
      await client.flushAll()
      assert.equal(await client.rPush('l', ['a', 'b', 'c']), 3)
      assert.deepEqual(await client.lRange('l', 0, -1), ['a', 'b', 'c'])
      assert.deepEqual(await client.lmPop(['none', 'l'], 'RIGHT', { COUNT: 2 }), ['l', ['c', 'b']])
      assert.equal(await client.hSet('h', { f: 'v', g: 'w' }), 2)
      assert.deepEqual({ ...await client.hGetAll('h') }, { f: 'v', g: 'w' })
      assert.deepEqual(await client.hExpire('h', 'f', 100), [1])
      assert.deepEqual(await client.hTTL('h', 'f'), [100])
      await client.sAdd('e', ['1', '2', '3'])
      assert.deepEqual((await client.sInter(['e', 'e'])).sort(), ['1', '2', '3'])
      assert.deepEqual(await client.smIsMember('e', ['1', '9']).then(all => all.map(Number)), [1, 0])
      await client.zAdd('z', [{ score: 1.5, value: 'm' }, { score: 2.5, value: 'n' }])
      assert.deepEqual(await client.zRangeWithScores('z', 0, -1), [{ value: 'm', score: 1.5 }, { value: 'n', score: 2.5 }])
      assert.deepEqual(await client.zPopMin('z'), { value: 'm', score: 1.5 })
      const id = await client.xAdd('x', '*', { field: 'value' })
      await client.xGroupCreate('x', 'g', '0')
      // With RESP3 this client leaves the answer as it came.
      const given = await client.xReadGroup('g', 'alice', { key: 'x', id: '>' })
      assert.ok(JSON.stringify(given).includes(id))
      const [entry] = await client.xRange('x', '-', '+')
      assert.deepEqual([entry.id, { ...entry.message }], [id, { field: 'value' }])
      assert.equal((await client.xPending('x', 'g')).pending, 1)
      assert.equal(await client.xAck('x', 'g', id), 1)
      await client.geoAdd('p', { longitude: 13.361389, latitude: 38.115556, member: 'Palermo' })
      assert.deepEqual(await client.geoSearch('p', { longitude: 13, latitude: 38 }, { radius: 100, unit: 'km' }), ['Palermo'])
      assert.equal(await client.setBit('b', 3, 1), 0)
      assert.equal(await client.bitCount('b'), 1)
      assert.equal(await client.pfAdd('s', ['a', 'b']), 1)
      assert.equal(await client.pfCount('s'), 2)
    } finally {
      client.destroy()
    }
  })

  test(`transactions, waiting, channels and scripts with RESP${RESP}`, async () => {
    const client = createClient({ url: `redis://127.0.0.1:${server.port}`, RESP })
    await client.connect()
    const other = await client.duplicate().connect()
    try {
      await client.flushAll()
      await assert.rejects(client.multi().set('a', '1').incr('a').lPush('a', 'x').exec(), error => error.errorIndexes.join() === '2' && error.replies[1] === 2)
      assert.deepEqual(await client.multi().set('a', '1').incr('a').exec(), ['OK', 2])
      await client.watch('a')
      await other.set('a', 'changed')
      await assert.rejects(client.multi().get('a').exec(), /One \(or more\) of the watched keys has been changed/)
      const waiting = client.blPop(['none', 'list'], 0)
      await other.rPush('list', 'element')
      assert.deepEqual({ ...await waiting }, { key: 'list', element: 'element' })
      const heard = []
      await other.subscribe('news', text => heard.push(text))
      await other.pSubscribe('new*', (text, channel) => heard.push(`${channel}:${text}`))
      await other.sSubscribe('shard', text => heard.push(text))
      assert.equal(await client.publish('news', 'one'), 2)
      assert.equal(await client.sPublish('shard', 'two'), 1)
      while (heard.length < 3) await new Promise(resolve => setTimeout(resolve, 1))
      assert.deepEqual(heard.sort(), ['news:one', 'one', 'two'])
      const script = 'return {KEYS[1], redis.call("INCRBY", KEYS[1], ARGV[1])}'
      assert.deepEqual(await client.eval(script, { keys: ['n'], arguments: ['7'] }), ['n', 7])
      const sha = await client.scriptLoad(script)
      assert.deepEqual(await client.evalSha(sha, { keys: ['n'], arguments: ['1'] }), ['n', 8])
    } finally {
      client.destroy()
      other.destroy()
    }
  })
}

test('a copy at the client is dropped when the key changes', async () => {
  const url = `redis://127.0.0.1:${server.port}`
  const client = createClient({ url, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } })
  await client.connect()
  const other = await createClient({ url }).connect()
  try {
    for (const key of ['k1', 'k2', 'k3', 'k4']) {
      await other.set(key, '1')
      assert.equal(await client.get(key), '1')
      await other.set(key, '2')
      while (await client.get(key) !== '2') await new Promise(resolve => setTimeout(resolve, 1))
    }
  } finally {
    client.destroy()
    other.destroy()
  }
})

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
