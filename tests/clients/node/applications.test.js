// Queues and adapters, unmodified, with Ringlane in the place of Redis.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { Queue, QueueEvents, Worker, FlowProducer } from 'bullmq'
import { Redis } from 'ioredis'
import { start } from './server.js'

let server
before(async () => { server = await start() })
after(() => server.stop())

// All keys of a queue in one slot, as BullMQ's guide asks for with a cluster.
const prefix = '{bull}'
const connection = () => ({ host: '127.0.0.1', port: server.port })

test('a BullMQ queue: jobs, retries, delays, priorities, events, flows', async () => {
  const queue = new Queue('mail', { connection: connection(), prefix })
  const events = new QueueEvents('mail', { connection: connection(), prefix })
  const seen = []
  const worker = new Worker('mail', async job => {
    if (job.name === 'stubborn' && job.attemptsMade < 2) throw new Error('not yet')
    await job.updateProgress(50)
    seen.push(job.name)
    return job.data.number * 2
  }, { connection: connection(), prefix, concurrency: 4 })
  worker.on('error', error => { throw error })
  await events.waitUntilReady()

  const jobs = await queue.addBulk(Array.from({ length: 50 }, (_, number) => ({ name: 'plain', data: { number } })))
  const results = await Promise.all(jobs.map(job => job.waitUntilFinished(events)))
  assert.deepEqual(results, Array.from({ length: 50 }, (_, number) => number * 2))

  const stubborn = await queue.add('stubborn', { number: 4 }, { attempts: 3, backoff: 10 })
  assert.equal(await stubborn.waitUntilFinished(events), 8)

  const late = await queue.add('late', { number: 1 }, { delay: 100 })
  const early = await queue.add('early', { number: 1 }, { priority: 1 })
  await Promise.all([late, early].map(job => job.waitUntilFinished(events)))
  assert.ok(seen.indexOf('early') < seen.indexOf('late'))

  const flow = new FlowProducer({ connection: connection(), prefix })
  const { job: parent } = await flow.add({
    name: 'parent',
    queueName: 'mail',
    data: { number: 10 },
    children: [{ name: 'child', queueName: 'mail', data: { number: 1 } }, { name: 'child', queueName: 'mail', data: { number: 2 } }]
  })
  assert.equal(await parent.waitUntilFinished(events), 20)
  assert.deepEqual(Object.values(await parent.getChildrenValues()).sort(), [2, 4])

  const counts = await queue.getJobCounts('completed', 'failed', 'delayed', 'waiting')
  assert.equal(counts.failed, 0)
  assert.equal(counts.completed, 56)
  await queue.obliterate({ force: true })
  for (const end of [worker, events, flow, queue]) await end.close()
})

test('the Redis adapter of Socket.IO: what one process sends reaches the clients of another', async () => {
  const { Server } = await import('socket.io')
  const { createAdapter } = await import('@socket.io/redis-adapter')
  const clients = []
  const make = () => {
    const [publisher, subscriber] = [new Redis(connection()), new Redis(connection())]
    clients.push(publisher, subscriber)
    return new Server({ adapter: createAdapter(publisher, subscriber) })
  }
  const [one, two] = [make(), make()]
  // Both have subscribed once each counts the other.
  while (await one.of('/').adapter.serverCount() < 2) await new Promise(resolve => setTimeout(resolve, 10))
  const arrived = once(two, 'greeting')
  one.serverSideEmit('greeting', 'hello')
  assert.deepEqual(await arrived, ['hello'])
  for (const client of clients) client.disconnect()
})
