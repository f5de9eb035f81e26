// SPDX-License-Identifier: GPL-3.0-or-later
//
// relay.js IN OUT: an echo with amqplib, done well. One connection, prefetch 200, publications persistent, mandatory and
// confirmed, a message acknowledged after the confirmation, acknowledgements joined.
'use strict';
const amqp = require('amqplib/callback_api');

const [into, out] = process.argv.slice(2);
const env = process.env;
const PREFETCH = 200;
const before = (message) => Buffer.from(`{"level":"INFO","message":"${message}","payload":`);
const received = before('Received a message to echo');
const sent = before('Sent Echoed message');
const after = Buffer.from(',"component_id":"0123456789abcdef01234567"}');
const asData = {contentType: 'application/json', persistent: true, mandatory: true};
const asRecord = {contentType: 'application/json', persistent: false};

function end(why) {
  console.error(`relay.js: ${why}`);
  process.exit(1);
}

process.on('SIGTERM', () => process.exit(0));
amqp.connect({hostname: env.RABBITMQ_HOST, port: Number(env.RABBITMQ_PORT), username: env.RABBITMQ_USERNAME,
              password: env.RABBITMQ_PASSWORD, heartbeat: 0, frameMax: 131072}, {noDelay: true}, (error, connection) => {
  if (error) end(error.message);
  connection.createChannel((error, records) => {
    if (error) end(error.message);
    connection.createConfirmChannel((error, data) => {
      if (error) end(error.message);
      data.on('return', () => end('unroutable'));
      data.on('error', (error) => end(error.message));

      // The oldest message that is not confirmed yet; what is confirmed before it is acknowledged as one.
      const waiting = [];
      let head = 0, last = null, gathered = 0, planned = false;
      const acknowledge = () => {
        planned = false;
        if (last !== null) data.ack(last, true);
        last = null;
        gathered = 0;
      };
      const confirmed = (entry) => {
        entry.done = true;
        while (head < waiting.length && waiting[head].done) {
          last = waiting[head++].message;
          gathered++;
        }
        if (head > 1024) {
          waiting.splice(0, head);
          head = 0;
        }
        if (gathered >= 20) acknowledge();
        else if (gathered > 0 && !planned) {
          planned = true;
          setImmediate(acknowledge);
        }
      };
      data.prefetch(PREFETCH);
      data.consume(into, (message) => {
        if (message === null) end('cancelled');
        const payload = Buffer.from(JSON.stringify(message.content.toString()));
        const entry = {message, done: false};
        waiting.push(entry);
        records.publish('', 'valawai/log/add', Buffer.concat([received, payload, after]), asRecord);
        data.publish('', out, message.content, asData, (error) => error ? end(error.message) : confirmed(entry));
        records.publish('', 'valawai/log/add', Buffer.concat([sent, payload, after]), asRecord);
      });
    });
  });
});
