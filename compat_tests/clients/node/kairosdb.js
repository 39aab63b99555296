// node-kairosdb: writes points in both forms, asks for sums and the version, and tells what it saw as JSON.
'use strict';
const { init } = require('kairosdb');
const { promisify } = require('util');

const START_MS = 1700000000000;
const client = init(process.argv[2], Number(process.argv[3]));
const call = (name, body) => promisify(client[name].bind(client))(body);

async function main() {
  const datapoints = Array.from({ length: 60 }, (_, step) => [START_MS + step * 1000, step * 1.5]);
  await call('datapoints', [
    { name: 'node.many', datapoints, tags: { host: 'web01', dc: 'eu' } },
    { name: 'node.single', timestamp: START_MS, value: 321, tags: { host: 'web02' } },
  ]);
  const sum = { name: 'sum', align_sampling: true, sampling: { value: '1', unit: 'hours' } };
  const answer = await call('query', {
    metrics: [{ tags: {}, name: 'node.many', aggregators: [sum] }],
    cache_time: 0,
    start_absolute: START_MS,
    end_absolute: START_MS + 60000,
  });
  const refused = await call('datapoints', [{ name: 'node.bad', timestamp: 'soon', value: 1, tags: { host: 'a' } }])
    .then(() => null, (error) => error.message);
  const version = await promisify((done) => client.version(done))();
  console.log(JSON.stringify({
    values: answer.queries[0].results[0].values,
    sample_size: answer.queries[0].sample_size,
    refused,
    version: version.version,
  }));
  process.exit(); // it leaves refused answers unread, which would keep the process
}

main();
