// Usage: node server.js PORT FOLDER - a server of CouchDB's protocol on the loopback, until it is killed.
// With COUCH_USER and COUCH_PASSWORD set, it answers nobody else.
'use strict';
const path = require('path');
const {createRequire} = require('module');
const installed = createRequire(path.join(process.env.COUCH_MODULES, 'package.json'));
const express = installed('express');
const [port, folder] = [Number(process.argv[2]), path.resolve(process.argv[3])];

const PouchDB = installed('pouchdb-core')
  .plugin(installed('pouchdb-adapter-http'))
  .plugin(installed('pouchdb-replication'))
  .plugin(installed('pouchdb-mapreduce'))
  .plugin(installed('pouchdb-adapter-leveldb'))
  .defaults({prefix: folder + path.sep});

// A continuous replication outlives the absence of its peer, as CouchDB's does.
const replicate = PouchDB.replicate;
PouchDB.replicate = (source, target, options) => replicate.call(PouchDB, source, target, {
  ...options, ...(options && options.continuous ? {live: true, retry: true, back_off_function: () => 200} : {}),
});
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => console.log(event, error && (error.stack || error)));
}

const app = express();
const {COUCH_USER: user, COUCH_PASSWORD: password} = process.env;
if (user) {
  const expected = 'Basic ' + Buffer.from(`${user}:${password}`).toString('base64');
  app.use((request, response, next) => {
    if (request.headers.authorization === expected) {
      delete request.headers.authorization; // the server behind it has no accounts
      return next();
    }
    return response.status(401).json({error: 'unauthorized', reason: 'Name or password is incorrect.'});
  });
}
app.use('/', installed('express-pouchdb')(PouchDB, {
  mode: 'fullCouchDB',
  configPath: path.join(folder, 'config.json'),
  logPath: path.join(folder, 'couch.log'),
  // compressed answers would be held back until they end, and a feed does not end
  overrideMode: {exclude: ['compression', 'routes/fauxton']},
}));
app.listen(port, '127.0.0.1');
